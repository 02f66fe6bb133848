"""The terminal that a pool was started from. Its end and a request for a reload are the same signal."""

from __future__ import annotations

import os
import signal

_WHERE = "/dev/tty"


class Terminal:
    """Remembers whether there was one.

    Args:
        keeps_on: the pool outlives it, since `nohup` has started it.
    """

    def __init__(self, *, keeps_on: bool) -> None:
        self._was_there = _is_there()
        self.keeps_on = keeps_on

    def has_gone(self) -> bool:
        """Whether it has gone since the last look; said once."""
        if not self._was_there or _is_there():
            return False
        self._was_there = False
        return True


def is_nohup() -> bool:
    """Whether this process was started with SIGHUP ignored, as nohup does."""
    return signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def _is_there() -> bool:
    try:
        os.close(os.open(_WHERE, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
