"""A worker's signal handlers, and how they are restored when a message's handler has replaced them.

A library may leave its own handler for SIGTERM, block signals, or take the wake-up descriptor, as asyncio does with
`loop.add_signal_handler`. So the supervisor asks a worker to leave by SIGTERM and by a message on its channel.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import warnings
from types import FrameType
from typing import Any, Callable

from bizzmq.utils.stop_event import StopEvent
from bizzmq.workers.process import fork


class WorkerSignals:
    """The signal handlers of a worker. Only the main thread calls these methods.

    Args:
        stop: owns the wake-up descriptor.
        on_stop: called on SIGTERM.
        stack: descriptor of the file to which faulthandler writes Python stacks.

    Attributes:
        sigterm_received: whether this object's handler has received SIGTERM; another handler may have replaced it.
    """

    def __init__(self, stop: StopEvent, on_stop: Callable[[], None], stack: int) -> None:
        self._stop = stop
        self._on_stop = on_stop
        self._stack = stack
        self._masks: list[set[Any]] = []
        self._handlers: dict[signal.Signals, Any] = {
            signal.SIGTERM: self._on_sigterm,
            signal.SIGINT: fork.do_nothing,
            signal.SIGPIPE: signal.SIG_IGN,
            **dict.fromkeys(fork.OF_TERMINALS, signal.SIG_IGN),
        }
        self.sigterm_received = False

    def install(self) -> None:
        """Install the handlers. Signals stay blocked until `fork.unblock_signals`."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._install_faulthandler()
        # Trio restores the wake-up descriptor when it ends, and warns in each message that it has found one.
        warnings.filterwarnings("ignore", "It looks like Trio's signal handling code", RuntimeWarning)
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._restore_mask, after_in_child=self._after_fork_in_child
        )

    def restore(self) -> None:
        """Reinstall the handlers that something has replaced, and unblock signals that something has blocked."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)
        if signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL:
            self._restore_sigusr1()
        self._install_faulthandler()
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _install_faulthandler(self) -> None:
        faulthandler.enable(file=self._stack, all_threads=True)
        faulthandler.register(signal.SIGUSR1, file=self._stack, all_threads=True)
        signal.set_wakeup_fd(self._stop.wakeup_descriptor, warn_on_full_buffer=False)

    def _restore_sigusr1(self) -> None:
        """Register SIGUSR1 again, although faulthandler believes that it still is registered.

        Blocked meanwhile, because its default action would end the worker.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1,))
        faulthandler.unregister(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        faulthandler.register(signal.SIGUSR1, file=self._stack, all_threads=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR1,))

    def _before_fork(self) -> None:
        """Block SIGTERM across the fork: it would be lost in a child whose handlers are still the worker's."""
        self._masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,)))

    def _restore_mask(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop())

    def _after_fork_in_child(self) -> None:
        """Give a child that a message's handler has forked the default signals: SIGTERM ends it, SIGINT raises."""
        for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(number) == self._handlers[number]:
                signal.signal(number, default)
        self._restore_mask()

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self.sigterm_received = True
        self._on_stop()
