"""A worker's signals: its handlers, and how they are put back when a message's handler has replaced them.

A library may leave its own handler for SIGTERM, block signals, or take the wake-up descriptor, as asyncio does with
`loop.add_signal_handler`. So SIGTERM is not the only way to ask a worker to leave: see worker.LEAVE.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from types import FrameType
from typing import Any, Callable

from bizzmq.stop import Stop
from bizzmq.workers import spawn


class WorkerSignals:
    """The signals of this process, whose main thread calls all of this.

    Args:
        stop: has the wake-up descriptor.
        on_stop: called by SIGTERM.
        stack: descriptor of the file for faulthandler's stacks.

    Attributes:
        came: whether SIGTERM has come to this handler, and not to another one.
    """

    def __init__(self, stop: Stop, on_stop: Callable[[], None], stack: int) -> None:
        self._stop = stop
        self._on_stop = on_stop
        self._stack = stack
        self._masks: list[set[Any]] = []
        self._handlers: dict[signal.Signals, Any] = {
            signal.SIGTERM: self._stop_asked,
            signal.SIGINT: spawn.take_no_notice,
            **dict.fromkeys(spawn.OF_TERMINALS, signal.SIG_IGN),
        }
        self.came = False

    def install(self) -> None:
        """Install the handlers. Signals are unblocked elsewhere; see spawn.fork."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._install_the_rest()
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._after_fork_in_copy
        )

    def put_back(self) -> None:
        """As `install`, where something else has been installed meanwhile; signals that are blocked come through."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)
        if signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL:
            self._take_usr1_back()
        self._install_the_rest()
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _install_the_rest(self) -> None:
        faulthandler.enable(file=self._stack, all_threads=True)
        faulthandler.register(signal.SIGUSR1, file=self._stack, all_threads=True)
        signal.set_wakeup_fd(self._stop.wakeup_descriptor, warn_on_full_buffer=False)

    def _take_usr1_back(self) -> None:
        """Install SIGUSR1 anew, where faulthandler believes that it still is. It must not end the worker meanwhile."""
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1,))
        faulthandler.unregister(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        faulthandler.register(signal.SIGUSR1, file=self._stack, all_threads=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR1,))

    def _before_fork(self) -> None:
        """A signal that came to a copy before that had its default again would be lost."""
        self._masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,)))

    def _after_fork(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop())

    def _after_fork_in_copy(self) -> None:
        """In a copy of the worker, which a message's handler has made: SIGTERM just ends it, SIGINT raises."""
        for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(number) == self._handlers[number]:
                signal.signal(number, default)
        self._after_fork()

    def _stop_asked(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        self._on_stop()
