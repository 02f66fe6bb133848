"""Process titles: the pool, slot and state of a process in the output of ps. Needs the extra `titles`.

A title changes when a process starts, drains or leaves, and never for a message, because that would be too slow.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Sequence

try:
    _library: Any = importlib.import_module("setproctitle")
except ImportError:
    _library = None

_MAX_QUEUES_LENGTH = 60


class Title:
    """The title of one process.

    Args:
        role: `supervisor`, `worker 3`, ...
        pool: pid of the supervisor.
    """

    def __init__(self, role: str, pool: int, queues: Sequence[str]) -> None:
        names = ",".join(queues)
        shown = names if len(names) <= _MAX_QUEUES_LENGTH else names[: _MAX_QUEUES_LENGTH - 3] + "..."
        self._text = f"bizzmq {role} [pool {pool}: {shown}]"
        self._state = ""

    def show(self, state: str) -> None:
        """Set the title if the state has changed. Does nothing without the library."""
        if _library is not None and state != self._state:
            self._state = state
            _library.setproctitle(f"{self._text} {state}")


def supervisor_title(queues: Sequence[str]) -> Title:
    """The title of this process as the supervisor of a pool."""
    return Title("supervisor", os.getpid(), queues)
