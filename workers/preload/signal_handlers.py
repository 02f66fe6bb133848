"""Signal handlers that an import has installed, and signals that it has blocked. Workers restore their own."""

from __future__ import annotations

import signal
from typing import Any, Dict, Iterator, Mapping, NamedTuple

from bizzmq.workers.preload.finding import Effect, Finding

_WORKER_SIGNALS = frozenset([
    signal.SIGALRM, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGUSR1, signal.SIGWINCH,
])  # fmt: skip
"""The signals that a worker handles or ignores (`worker/signals.py`, `worker/soft_limits.py`)."""


class Signals(NamedTuple):
    """The signal handlers and the signal mask of this process.

    Attributes:
        handlers: number -> handler; None for a handler that was not installed by Python.
        blocked: the blocked signals.
    """

    handlers: Mapping[int, Any]
    blocked: frozenset[int]


def installed() -> Signals:
    """The current handlers, and the mask of this thread."""
    handlers: Dict[int, Any] = {number: signal.getsignal(number) for number in signal.Signals}
    return Signals(handlers, frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())))


def of_the_user(before: Signals, now: Signals) -> Dict[int, Any]:
    """The handlers that are not in `before`, for signals that workers do not use."""
    return {number: handler for number, handler in _new(before, now).items() if number not in _WORKER_SIGNALS}


def findings(before: Signals, now: Signals) -> Iterator[Finding]:
    """The findings about handlers and blocked signals that are not in `before`."""
    for number, handler in _new(before, now).items():
        name = f"{_name(number)}: {getattr(handler, '__qualname__', None) or getattr(handler, 'name', handler)}"
        if number in _WORKER_SIGNALS:
            yield Finding("signal handler", name, Effect.RESTORED, "each worker installs its own for this signal")
        else:
            yield Finding("signal handler", name, Effect.HARMLESS, "each worker has it, too")
    for number in sorted(now.blocked - before.blocked):
        yield Finding("blocked signal", _name(number), Effect.RESTORED, "each worker unblocks it")


def _new(before: Signals, now: Signals) -> Dict[int, Any]:
    """The new handlers, except those installed by C code, which Python cannot install again."""
    return {
        number: handler
        for number, handler in now.handlers.items()
        if handler is not None and handler != before.handlers.get(number)
    }


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
