"""Limits while a message runs, the soft half: an exception in the handler. The supervisor has the hard half.

SIGALRM ends what takes too long, SIGPROF what computes too long. Their handlers raise only while the user's
handler runs, never while the worker talks to Redis: an exception there could leave half a reply behind.

Not RLIMIT_CPU with SIGXCPU: the kernel compares that with a sum of clock ticks, which on a busy machine drifts away
from the CPU time that was used, by several percent of a worker's whole life, and it counts in whole seconds.
"""

from __future__ import annotations

import asyncio
import math
import resource
import signal
import sys
from types import FrameType
from typing import Any, Callable

from bizzmq import clock
from bizzmq.context import Context
from bizzmq.errors import CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageTimeout, Reject, RetryLater
from bizzmq.handler import Handler, UserHandler
from bizzmq.workers.descendants import ticks_now
from bizzmq.workers.scoreboard import SlotRecord

DRAIN_SHARE = 0.8
"""The part of the drain's time after which `Draining` is raised in handlers that asked for it."""
_CAUSES = 100
_AIM = 0.8
"""The part of the remaining CPU time after which it is looked at again: the timer too counts ticks, and may be late."""

DECIDED = (CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageTimeout, Reject, RetryLater)
"""What means the same, whether the worker has to leave or not."""
ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
"""What code raises when something asks it to end."""


class LimitedHandler(Handler):
    """Runs the user's handler under its limits, in the main thread of a worker.

    Args:
        cpu_limit_s: CPU time that one message may use, or None.
        is_due_to_leaving: whether a message failed only because the worker was told to leave.
        end_started: ends the processes that were started from a time on, in the ticks of `descendants.ticks_now`.
    """

    def __init__(
        self,
        function: UserHandler,
        record: SlotRecord,
        cpu_limit_s: float | None,
        is_due_to_leaving: Callable[[BaseException], bool],
        end_started: Callable[[int], None],
    ) -> None:
        super().__init__(function)
        self._is_due_to_leaving = is_due_to_leaving
        self._run_plainly = super().run  # looked up once
        self._record = record
        self._cpu_limit_s = cpu_limit_s
        self._end_started = end_started
        self._is_over_limit = False
        self._raised: BaseException | None = None  # in the handler
        self._dropped: BaseException | None = None  # by Python, see _unraisable
        self._context: Context | None = None
        self._timeout_at_s = math.inf
        self._drain_at_s = math.inf
        self._cpu_at_s = math.inf
        self._handlers: dict[signal.Signals, Any] = {signal.SIGALRM: self._on_alarm}
        if cpu_limit_s:  # else it is a profiler's, if there is one
            self._handlers[signal.SIGPROF] = self._on_cpu_time
        self._install()
        self._say_unraisable, sys.unraisablehook = sys.unraisablehook, self._unraisable

    def run(self, body: Any, context: Context) -> BaseException | None:
        self._context = context
        if context.timeout_s or self._cpu_limit_s:
            return self._run_limited(body, context)
        try:
            return self._run_plainly(body, context)
        except (MessageTimeout, Draining) as late:  # it came between the handler's end and here
            return late
        finally:
            self._context = None

    def _run_limited(self, body: Any, context: Context) -> BaseException | None:
        """What a message has started that reached a limit ends before the message is run again."""
        began_ticks = ticks_now()
        try:
            self._arm(context)
            return self._run_plainly(body, context)
        except (MessageTimeout, Draining) as late:
            return late
        finally:
            self._context = None
            self._disarm()
            if self._is_over_limit:
                self._is_over_limit = False
                self.is_spent = True  # it struck in the midst of something: a connection, a lock, a file half written
                self.when_spent()
                self._record.recall()  # none of those behind it runs here
                self._end_started(began_ticks)

    def failure_of(self, error: BaseException) -> BaseException:
        failure = self._limit_behind(super().failure_of(error))
        if not self._is_due_to_leaving(failure):
            return failure
        draining = Draining("the worker was told to leave")
        draining.__cause__ = failure
        return draining

    def _limit_behind(self, failure: BaseException) -> BaseException:
        """The limit that has struck, if the failure is what a library has made of it."""
        struck, seen = self._raised, failure
        if struck is None or isinstance(failure, DECIDED):
            return failure
        for _ in range(_CAUSES):
            behind = seen.__cause__ or seen.__context__
            if behind is struck:
                struck.__cause__ = None
                return struck.with_traceback(failure.__traceback__)
            if behind is None:
                break
            seen = behind
        return failure

    def put_signals_back(self) -> None:
        """Between messages: undo what a handler has done to these signals and this timer."""
        self._install()
        self._set_timer()

    def _install(self) -> None:
        for number, handler in self._handlers.items():
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)

    def drain_begins(self, timeout_s: float) -> None:
        """The pool is being drained: later, `Draining` is due."""
        self._drain_at_s = clock.monotonic() + timeout_s * DRAIN_SHARE
        self._set_timer()

    def _arm(self, context: Context) -> None:
        self._install()
        if context.timeout_s:
            self._timeout_at_s = clock.monotonic() + context.timeout_s
            self._set_timer()
        if self._cpu_limit_s:
            self._cpu_at_s = _cpu_s() + self._cpu_limit_s
            self._record.set_cpu_deadline(self._cpu_at_s + _cpu_s(resource.RUSAGE_CHILDREN))
            self._set_cpu_timer()

    def _disarm(self) -> None:
        self._timeout_at_s = math.inf
        self._raised = self._dropped = None
        self._set_timer()
        if self._cpu_limit_s:
            signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _set_timer(self) -> None:
        due_s = min(self._timeout_at_s, self._drain_at_s)
        wait_s = max(0.001, due_s - clock.monotonic()) if due_s < math.inf else 0.0
        signal.setitimer(signal.ITIMER_REAL, wait_s)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        context, now_s = self._context, clock.monotonic()
        if context is None:
            return
        if self._dropped is not None:
            self._set_timer()
            self._strike(self._dropped)
        elif now_s >= self._timeout_at_s:
            self._timeout_at_s = math.inf
            self._is_over_limit = True
            self._strike(MessageTimeout(context.timeout_s or 0.0))
        elif now_s >= self._drain_at_s:
            self._drain_at_s = math.inf
            self._set_timer()
            if context.wants_draining:
                self._strike(Draining("the pool is being drained"))
        else:
            self._set_timer()

    def _strike(self, error: BaseException) -> None:
        self._raised, self._dropped = error, None
        self.interrupt(error)

    def _unraisable(self, unraisable: Any) -> None:
        """Python drops what is raised in a finalizer (`__del__`, a weak reference's callback): it is raised again."""
        if self._raised is None or unraisable.exc_value is not self._raised:
            self._say_unraisable(unraisable)
            return
        self._dropped = self._raised.with_traceback(None)
        signal.setitimer(signal.ITIMER_REAL, 0.001)

    def _set_cpu_timer(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, max(0.01, _AIM * (self._cpu_at_s - _cpu_s())))

    def _on_cpu_time(self, _number: int, _frame: FrameType | None) -> None:
        if self._context is None:
            return
        if _cpu_s() < self._cpu_at_s:
            self._set_cpu_timer()
        else:
            self._is_over_limit = True
            self._strike(CpuTimeExceeded(self._cpu_limit_s or 0.0))


def _cpu_s(whose: int = resource.RUSAGE_SELF) -> float:
    """The CPU time that this process has used, as the supervisor sees it too."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime
