"""The terminal that a pool was started from. Its end and a request to reload arrive as the same signal, SIGHUP."""

from __future__ import annotations

import os
import signal

_PATH = "/dev/tty"


class Terminal:
    """The controlling terminal, if there was one when this object was made.

    Args:
        is_outlived: whether the pool outlives the terminal, because `nohup` has started it.
    """

    def __init__(self, *, is_outlived: bool) -> None:
        self._existed = _exists()
        self.is_outlived = is_outlived

    def has_gone(self) -> bool:
        """Whether the terminal has gone; True only once."""
        if not self._existed or _exists():
            return False
        self._existed = False
        return True


def is_nohup() -> bool:
    """Whether this process was started with SIGHUP ignored, as by nohup."""
    return signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def _exists() -> bool:
    try:
        os.close(os.open(_PATH, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
