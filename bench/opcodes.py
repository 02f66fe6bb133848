"""The bytecode instructions of BizzMQ for a message: the same on every machine and under any load.

Python itself counts them (sys.settrace with opcode events), in frames of BizzMQ's code. Hardware counters would
include C, but most virtual machines have none, and they need privileges. So this guards our Python code; the number
of commands guards how often redis-py and Redis are called.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import bizzmq

OURS = str(Path(bizzmq.__file__).resolve().parent)
WORKERS = str(Path(OURS).parent / "workers")
WAITING = str(Path(OURS) / "connection" / "busy_poll.py")
"""Excluded: how often it polls depends on the server's speed, and it runs only while there is nothing else to do."""


class Counter:
    """Counts instructions while it is installed with `sys.settrace`."""

    def __init__(self) -> None:
        self.count = 0
        self._known: dict[str, bool] = {}

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "call":
            if not self._is_ours(frame.f_code.co_filename):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            self.count += 1
        return self

    def _is_ours(self, name: str) -> bool:
        found = self._known.get(name)
        if found is None:
            path = str(Path(name).resolve())
            found = self._known[name] = path.startswith((OURS, WORKERS)) and path != WAITING
        return found


def counted(action: Callable[[], Any]) -> int:
    """The number of BizzMQ's instructions that the action runs in this thread."""
    counter, before = Counter(), sys.gettrace()
    sys.settrace(counter)
    try:
        action()
    finally:
        sys.settrace(before)
    return counter.count
