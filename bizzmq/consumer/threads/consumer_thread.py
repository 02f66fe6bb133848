"""A thread whose start and wait may be interrupted."""

from __future__ import annotations

import _thread
import threading
from typing import Callable

from bizzmq.utils import clock
from bizzmq.utils.stop_event import StopEvent

_BEGIN_S, _CHECK_S = 1.0, 0.5
"""How long a thread may take to begin after its start was interrupted, and how often that is checked, seconds."""


class ConsumerThread:
    """A thread whose `start` and `wait` may be interrupted by an exception from a signal handler.

    `threading.Thread` does not support that: an exception in its `start` leaves a lock of its event held, and the new
    thread waits forever to report that it has started. So another thread starts it: signal handlers run in the main
    thread only.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._over = StopEvent()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._runs = self._is_given_up = False
        self._failure: RuntimeError | None = None
        self.has_begun = False

    @property
    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system has no thread left."""
        self.has_begun = True  # first: after an interrupt it is unknown whether the thread runs
        _thread.start_new_thread(self._begin, ())
        while not self._runs and self._failure is None:
            self._over.wait(_CHECK_S)
        if self._failure is not None:
            self.has_begun = False
            raise self._failure

    def _begin(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            self._failure = error
            self._over.wake()

    def wait(self) -> bool:
        """Wait for the end of the thread; False if it does not exist, because its start was interrupted too early."""
        begin_by_s = clock.monotonic() + _BEGIN_S
        while self.has_begun and not self._over.requested and not self._is_given_up:
            if not self._runs and clock.monotonic() > begin_by_s:
                self._is_given_up = True
                if not self._runs:
                    break
            self._over.wait(_CHECK_S)
        self._over.close()
        return self._runs

    def ends_within(self, timeout_s: float) -> bool:
        """Wait for the end of the thread, at most `timeout_s`; whether it has ended."""
        give_up_s = clock.monotonic() + timeout_s
        while not self._over.requested:
            left_s = give_up_s - clock.monotonic()
            if left_s <= 0:
                return False
            self._over.wait(min(_CHECK_S, left_s))
        return True

    def _run(self) -> None:
        self._runs = True
        self._over.wake()
        if self._is_given_up:
            return
        try:
            self._work()
        finally:
            self._over.request()
