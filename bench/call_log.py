"""A log of the calls of BizzMQ's functions in a process, by a profile hook, and what a reader needs to know of them."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Callable, Iterable, NamedTuple, NoReturn

import bizzmq

ROOT = Path(bizzmq.__file__).resolve().parent.parent
_PARTS = tuple(f"{part}{os.sep}" for part in ("bizzmq", "workers"))
_NOT_CALLS = frozenset(["<module>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"])


class Call(NamedTuple):
    """One call of a function of BizzMQ.

    Attributes:
        at_s: monotonic seconds; all processes of a machine share that clock.
        file: the file of the function, as a path below the project.
        name: the name of the function.
        caller: the file of the next function of BizzMQ up the stack; "" if there is none.
    """

    at_s: float
    file: str
    name: str
    caller: str


class Calls:
    """Logs calls while it is installed with `sys.setprofile`. Imports, comprehensions and generators do not count."""

    def __init__(self) -> None:
        self.made: list[Call] = []
        self._files: dict[CodeType, str] = {}

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call":
            return
        file = self._file(frame.f_code)
        if file and frame.f_code.co_name not in _NOT_CALLS:
            self.made.append(Call(time.monotonic(), file, frame.f_code.co_name, self._caller(frame.f_back)))

    def _caller(self, frame: FrameType | None) -> str:
        while frame is not None:
            file = self._file(frame.f_code)
            if file:
                return file
            frame = frame.f_back
        return ""

    def _file(self, code: CodeType) -> str:
        """The file of BizzMQ's code, or "" for other code."""
        found = self._files.get(code)
        if found is None:
            path = Path(code.co_filename).resolve()
            inside = str(path.relative_to(ROOT)) if ROOT in path.parents else ""
            found = self._files[code] = inside if inside.startswith(_PARTS) else ""
        return found


def logged(action: Callable[[], Any]) -> list[Call]:
    """The calls that an action makes in this thread."""
    calls, before = Calls(), sys.getprofile()
    sys.setprofile(calls)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls.made


def log_this_process(folder: Path) -> None:
    """Log the calls of this process and of all that it forks, from now on, each into a file of its own.

    A process writes its file whenever it forks, and when it ends by `os._exit`.
    """
    calls, leave = Calls(), os._exit

    def write() -> None:
        (folder / f"{os.getpid()}.json").write_text(json.dumps(calls.made), encoding="utf-8")

    def write_and_leave(status: int) -> NoReturn:
        write()
        leave(status)

    os._exit = write_and_leave
    os.register_at_fork(before=write, after_in_child=calls.made.clear)
    sys.setprofile(calls)


def read(folder: Path) -> Iterable[list[Call]]:
    """The calls of each process that has logged into a folder."""
    for path in folder.glob("*.json"):
        yield [Call(*call) for call in json.loads(path.read_text(encoding="utf-8"))]


def once(calls: Iterable[Call]) -> list[Call]:
    """The first call of each function from each file."""
    return list({(call.caller, call.file, call.name): call for call in reversed(list(calls))}.values())[::-1]


def package(file: str) -> str:
    """The package of a file: its folder."""
    return str(Path(file).parent)


class Walk(NamedTuple):
    """What it takes to follow some calls by reading.

    Attributes:
        files, packages: the number of different ones.
        file_crossings, package_crossings: calls from one file or package into another.
    """

    files: int
    packages: int
    calls: int
    file_crossings: int
    package_crossings: int

    @classmethod
    def of(cls, calls: Iterable[Call]) -> Walk:
        made = list(calls)
        called = [call for call in made if call.caller]
        return cls(
            files=len({call.file for call in made}),
            packages=len({package(call.file) for call in made}),
            calls=len(made),
            file_crossings=sum(call.caller != call.file for call in called),
            package_crossings=sum(package(call.caller) != package(call.file) for call in called),
        )
