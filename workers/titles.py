"""Process titles: which pool, which slot, which state, in the output of ps. Needs the extra `titles`.

A title is set when a process starts, drains or leaves, never for a message: that would cost too much.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Sequence

try:
    _library: Any = importlib.import_module("setproctitle")
except ImportError:
    _library = None

_LONGEST_LIST = 60


class Title:
    """The title of one process.

    Args:
        role: `supervisor`, `worker 3`, ...
        pool: the supervisor's pid.
    """

    def __init__(self, role: str, pool: int, queues: Sequence[str]) -> None:
        names = ",".join(queues)
        shown = names if len(names) <= _LONGEST_LIST else names[: _LONGEST_LIST - 3] + "..."
        self._text = f"bizzmq {role} [pool {pool}: {shown}]"
        self._state = ""

    def show(self, state: str) -> None:
        """Set it, if it has changed. Without the library nothing happens."""
        if _library is not None and state != self._state:
            self._state = state
            _library.setproctitle(f"{self._text} {state}")


def supervisor_title(queues: Sequence[str]) -> Title:
    """Of this process, as the supervisor of a pool."""
    return Title("supervisor", os.getpid(), queues)
