"""Which line of the user's code has made what an import leaves: traced, line by line."""

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
    """All that this process has now."""
    return frozenset(
        [("descriptor", one.number) for one in descriptors.held()]
        + [("task", task) for task in threads.tasks()]
        + [("process", pid) for pid in processes.children()]
    )


class Origins:
    """A block in which each line of the user's own modules is noted that leaves something new. It is slow."""

    def __init__(self, look: Callable[[], FrozenSet[Thing]] = present) -> None:
        self._look = look
        self._seen: FrozenSet[Thing] = frozenset()
        self._lines: Dict[Thing, str] = {}
        self._before: Any = None
        self._is_ours: Dict[str, bool] = {}

    def __enter__(self) -> Origins:
        self._seen = self._look()
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        sys.settrace(self._before)

    def of(self, finding: Finding) -> str:
        """File and line that have left this; "" if that was none of the user's."""
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
                self._note(inner.f_code.co_filename, line)
                line = inner.f_lineno
            return trace

        return trace

    def _note(self, filename: str, line: int) -> None:
        now = self._look()
        for thing in now - self._seen:
            self._lines[thing] = f"{_shown(filename)}:{line}"
        self._seen = now

    def _is_of_the_user(self, filename: str) -> bool:
        known = self._is_ours.get(filename)
        if known is None:
            known = self._is_ours[filename] = is_of_the_user(filename)
        return known


def _shown(filename: str) -> str:
    shown = os.path.relpath(filename)
    return filename if shown.startswith("..") else shown
