"""The supervisor's signals: a handler only notes that a signal came; the loop acts on it."""

from __future__ import annotations

import signal
from collections import deque
from types import FrameType
from typing import Any

from bizzmq.utils.stop_event import StopEvent

HANDLED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP,
    signal.SIGCONT, signal.SIGUSR1, signal.SIGWINCH, signal.SIGCHLD,
)  # fmt: skip
_OTHER_REQUESTS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP)
REPEAT_S = 1.0
"""A second SIGTERM or SIGINT within `n` seconds counts as the same one, sent twice by an impatient sender."""


def ignore_until_ready() -> None:
    """Ignore signals that request something other than the end, and that end or stop a program without handlers."""
    for number in _OTHER_REQUESTS:
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """Collects signals while installed, and wakes the loop. A context manager.

    Args:
        for_good: signals that come after the end are ignored, except SIGCHLD.
    """

    def __init__(self, *, for_good: bool = False) -> None:
        self._for_good = for_good
        self._pending: deque[signal.Signals] = deque()
        self._before: dict[signal.Signals, Any] = {}
        self._wake_pipe = StopEvent()
        self._wakeup_before = -1

    def __enter__(self) -> Signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)  # the parent process may have blocked some
        self._wakeup_before = signal.set_wakeup_fd(self._wake_pipe.wakeup_descriptor, warn_on_full_buffer=False)
        for number in HANDLED:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            before = handler if handler is not None else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if self._for_good and number != signal.SIGCHLD else before)
        signal.set_wakeup_fd(self._wakeup_before)
        self._wake_pipe.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(signal.Signals(number))

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._wake_pipe.fileno()

    def descriptors(self) -> tuple[int, int]:
        """Both ends of the wake-up pipe, for a forked child to close."""
        return self._wake_pipe.fileno(), self._wake_pipe.wakeup_descriptor

    def take(self) -> list[signal.Signals]:
        """All that came since the last call. Of SIGTSTP and SIGCONT, the later one is later."""
        numbers = self._wake_pipe.clear()
        taken = []
        while self._pending:
            taken.append(self._pending.popleft())
        if numbers.rfind(signal.SIGCONT) > numbers.rfind(signal.SIGTSTP) and signal.SIGTSTP in taken:
            # Python calls handlers by number, so it has noted SIGCONT (18) before an earlier SIGTSTP (20).
            taken.remove(signal.SIGTSTP)
            taken.insert(0, signal.SIGTSTP)
        return taken
