"""The origin of a finding: the line of the user's code that has made it, found by tracing the import line by line."""

from __future__ import annotations

import os
import sys
from types import FrameType, TracebackType
from typing import Any, Callable, Dict, FrozenSet, Optional, Tuple, Type

from bizzmq.workers.preload import descriptors, processes, threads
from bizzmq.workers.preload.finding import Finding
from bizzmq.workers.preload.user_code import is_of_the_user

Thing = Tuple[str, int]
"""("descriptor", number), ("task", id) or ("process", id)."""


def present() -> FrozenSet[Thing]:
    """The descriptors, threads and children of this process."""
    return frozenset(
        [("descriptor", one.number) for one in descriptors.open_now()]
        + [("task", task) for task in threads.tasks()]
        + [("process", pid) for pid in processes.children()]
    )


class Origins:
    """A context manager that records which line of the user's modules makes each new thing. It is slow."""

    def __init__(self, scan: Callable[[], FrozenSet[Thing]] = present) -> None:
        self._scan = scan
        self._seen: FrozenSet[Thing] = frozenset()
        self._lines: Dict[Thing, str] = {}
        self._before: Any = None
        self._known_files: Dict[str, bool] = {}

    def __enter__(self) -> Origins:
        self._seen = self._scan()
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        sys.settrace(self._before)

    def of(self, finding: Finding) -> str:
        """The file and line that have made this; "" if it was not the user's code."""
        things: list[Thing] = [("task", task) for task in finding.tasks]
        if finding.number >= 0:
            things.append(("process" if finding.kind == "child process" else "descriptor", finding.number))
        return next((self._lines[thing] for thing in things if thing in self._lines), "")

    def _trace(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        if not self._is_of_the_user(frame.f_code.co_filename):
            return None
        line = frame.f_lineno

        def trace(inner: FrameType, event: str, _argument: Any) -> Any:
            nonlocal line
            if event in ("line", "return", "exception"):
                self._record(inner.f_code.co_filename, line)
                line = inner.f_lineno
            return trace

        return trace

    def _record(self, filename: str, line: int) -> None:
        now = self._scan()
        for thing in now - self._seen:
            self._lines[thing] = f"{_shown(filename)}:{line}"
        self._seen = now

    def _is_of_the_user(self, filename: str) -> bool:
        known = self._known_files.get(filename)
        if known is None:
            known = self._known_files[filename] = is_of_the_user(filename)
        return known


def _shown(filename: str) -> str:
    shown = os.path.relpath(filename)
    return filename if shown.startswith("..") else shown
