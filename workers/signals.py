"""The supervisor's signals: handlers only write down that a signal came; the loop acts."""

from __future__ import annotations

import signal
from collections import deque
from types import FrameType
from typing import Any

from bizzmq.stop import Stop

HANDLED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP,
    signal.SIGCONT, signal.SIGUSR1, signal.SIGWINCH, signal.SIGCHLD,
)  # fmt: skip
_NOT_THE_END = (signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP)
REPEAT_S = 1.0
"""A second SIGTERM or SIGINT within this time is taken for the same one, sent twice by an impatient sender."""


def ignore_until_ready() -> None:
    """Ignore what would end or stop a program that has no handlers yet, though it asks for something else."""
    for number in _NOT_THE_END:
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """Collects signals while installed, and wakes the loop. A context manager."""

    def __init__(self, *, for_good: bool = False) -> None:
        self._for_good = for_good
        self._pending: deque[signal.Signals] = deque()
        self._before: dict[signal.Signals, Any] = {}
        self._bell = Stop()
        self._wakeup_before = -1

    def __enter__(self) -> Signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)  # the parent process may have blocked some
        self._wakeup_before = signal.set_wakeup_fd(self._bell.wakeup_descriptor, warn_on_full_buffer=False)
        for number in HANDLED:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            before = handler if handler is not None else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if self._for_good and number != signal.SIGCHLD else before)
        signal.set_wakeup_fd(self._wakeup_before)
        self._bell.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(signal.Signals(number))

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._bell.fileno()

    def descriptors(self) -> tuple[int, int]:
        """Both ends of the bell, for a forked child to close."""
        return self._bell.fileno(), self._bell.wakeup_descriptor

    def take(self) -> list[signal.Signals]:
        """All that came since the last call, in order."""
        self._bell.clear()
        taken = []
        while self._pending:
            taken.append(self._pending.popleft())
        return taken
