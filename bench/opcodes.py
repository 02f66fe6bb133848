"""How many bytecode instructions of ours a message costs: the same on every machine, whatever else runs there.

Counted by Python itself (sys.settrace with opcode events), in frames whose code is BizzMQ's. Hardware counters would
see C as well, but virtual machines mostly have none, and they need rights. So this guards our Python; how often
redis-py and Redis are called is guarded by the number of commands.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import bizzmq

OURS = str(Path(bizzmq.__file__).resolve().parent)
WORKERS = str(Path(OURS).parent / "workers")
WAITING = str(Path(OURS) / "busy_poll.py")
"""How often it looks depends on how fast the server is; what it runs, it runs while there is nothing else to do."""


class Counter:
    """Counts while `sys.settrace` has it."""

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
    """Instructions of BizzMQ's Python that the action runs in this thread."""
    counter, before = Counter(), sys.gettrace()
    sys.settrace(counter)
    try:
        action()
    finally:
        sys.settrace(before)
    return counter.count
