"""Process state that a message's handler may change, and that is restored for the next message.

Signals and timers are restored elsewhere (`worker/signals.py`, `worker/soft_limits.py`).
"""

from __future__ import annotations

import contextlib
import os


class ProcessState:
    """The working directory and the umask at the time when this object was made."""

    def __init__(self) -> None:
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._directory = _open_working_directory()

    def restore(self) -> None:
        """Restore both. A working directory that is unreadable, or has been removed since, cannot be restored."""
        os.umask(self._umask)
        if self._directory is not None:
            with contextlib.suppress(OSError):
                os.fchdir(self._directory)


def _open_working_directory() -> int | None:
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
