"""Soft limits of a message, and its cancel: exceptions in the handler. The supervisor enforces the hard limits.

SIGALRM limits the time that a message takes, SIGPROF its CPU time. Their handlers raise only while the user's handler
runs, never while the worker talks to Redis: an exception there could leave half a reply unread.

A message's handler may use the same timers and signals; they are restored afterwards. If a limit expires meanwhile and
the message still runs, the supervisor sends REMINDER, as it does for a cancel. Hardly any library handles that signal,
and by default it has no effect.

RLIMIT_CPU with SIGXCPU is no alternative. It counts whole seconds, and the kernel compares it with a sum of clock
ticks. On a busy machine that sum differs from the CPU time by several percent of the worker's whole life.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import os
import resource
import signal
import sys
from types import FrameType
from typing import Any, Callable

from bizzmq.consumer.handlers.handler import Handler, UserHandler
from bizzmq.context import Context, wants_draining
from bizzmq.errors import (
    CpuTimeExceeded,
    Draining,
    MemoryLimitExceeded,
    MessageCancelled,
    MessageTimeout,
    Reject,
    RetryLater,
)
from bizzmq.utils import clock
from bizzmq.workers.ipc.slot_activity import REMINDER, SlotActivity
from bizzmq.workers.process.descendants import ticks_now

DRAIN_SHARE = 0.8
"""The share of the drain timeout after which `Draining` is raised in handlers that asked for it."""
_MAX_CAUSES = 100
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CPU_CHECK_SHARE = 0.8
"""The share of the remaining CPU time after which it is checked again: the timer counts ticks and may be late."""

OWN_MEANING = (
    CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageCancelled, MessageTimeout, Reject, RetryLater,
)  # fmt: skip
"""Errors that mean the same whether the worker has to leave or not."""
END_REQUESTS = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
"""Errors that ask code to end."""
_builtin: Any = importlib.import_module("_signal")  # the functions of `signal` make an enum of each result: slower
_handler_of, _set_mask = _builtin.getsignal, _builtin.pthread_sigmask
_ALARM = int(signal.SIGALRM)


class LimitedHandler(Handler):
    """Runs the user's handler under its limits, in the main thread of a worker.

    Args:
        cpu_limit_s: CPU time that one message may use, or None.
        is_caused_by_leaving: whether a message has failed only because the worker has to leave.
        end_started: ends the processes that were started at or after a time, given in ticks (`descendants.ticks_now`).

    Attributes:
        after_failure: called when a message has failed, since it may have left the process changed.
    """

    after_failure: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        function: UserHandler,
        activity: SlotActivity,
        cpu_limit_s: float | None,
        is_caused_by_leaving: Callable[[BaseException], bool],
        end_started: Callable[[int], None],
    ) -> None:
        super().__init__(function)
        self._is_caused_by_leaving = is_caused_by_leaving
        self._run_plainly = super().run  # looked up once
        self._activity = activity
        self._cpu_limit_s = cpu_limit_s
        self._end_started = end_started
        self._is_over_limit = False
        self._raised: BaseException | None = None  # by a limit, in the handler
        self._dropped: BaseException | None = None  # by Python: see _on_unraisable
        self._context: Context | None = None
        self._timeout_at_s = math.inf
        self._drain_at_s = math.inf
        self._cpu_at_s = math.inf
        self._alarm_handler = self._on_alarm  # kept, so that `is` can compare with it
        self._handlers: dict[signal.Signals, Any] = {signal.SIGALRM: self._alarm_handler, REMINDER: self._on_reminder}
        if cpu_limit_s:  # otherwise SIGPROF is free for a profiler
            self._handlers[signal.SIGPROF] = self._on_cpu_time
        self._install()
        self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable

    @property
    def running(self) -> Context | None:
        """The context of the running message; None without one."""
        return self._context

    def run(self, body: Any, context: Context) -> BaseException | None:
        self._context = context
        if context.timeout_s or self._cpu_limit_s:
            return self._run_limited(body, context)
        try:
            failure = self._run_plainly(body, context)
            if failure is not None:
                self.after_failure()
            return failure
        except BaseException as late:  # noqa: BLE001 - a signal handler has raised it after the user's handler
            return late
        finally:
            self._context = None
            if self._is_over_limit:
                self._be_spent(ticks_now() - math.ceil(context.running_for_s * _TICKS_PER_S) - 1)
                self._disarm()
            if _handler_of(_ALARM) is not self._alarm_handler:
                self.restore_signals()  # and the timer, which would interrupt another message or the worker

    def _run_limited(self, body: Any, context: Context) -> BaseException | None:
        """Run under time limits. At a limit, the processes that the message has started end before it is retried."""
        began_ticks = ticks_now()
        try:
            self._arm(context)
            failure = self._run_plainly(body, context)
            if failure is not None:
                self.after_failure()
            return failure
        except BaseException as late:  # noqa: BLE001 - as in `run`
            return late
        finally:
            self._context = None
            self._disarm()
            if self._is_over_limit:
                self._be_spent(began_ticks)

    def _be_spent(self, began_ticks: int) -> None:
        """Run no further message: the exception may have left a connection, a lock or a file half done."""
        self._is_over_limit = False
        self.is_spent = True
        self.when_spent()
        self._activity.request_release()  # the messages behind it must not run here
        self._end_started(began_ticks)

    def failure_of(self, error: BaseException) -> BaseException:
        failure = self._limit_behind(super().failure_of(error))
        if not self._is_caused_by_leaving(failure):
            return failure
        draining = Draining("the worker was told to leave")
        draining.__cause__ = failure
        return draining

    def _limit_behind(self, failure: BaseException) -> BaseException:
        """The error of the limit, if the handler or a library has turned it into this failure."""
        limit, error = self._raised, failure
        if limit is None or isinstance(failure, OWN_MEANING):
            return failure
        for _ in range(_MAX_CAUSES):
            cause = error.__cause__ or error.__context__
            if cause is limit:
                limit.__cause__ = None
                return limit.with_traceback(failure.__traceback__)
            if cause is None:
                break
            error = cause
        return failure

    def restore_signals(self) -> None:
        """Undo, between messages, what a handler has done to these signals and this timer."""
        self._install()
        self._set_timer()

    def _install(self) -> None:
        for number, handler in self._handlers.items():
            if _handler_of(number) is not handler:
                signal.signal(number, handler)

    def begin_drain(self, timeout_s: float) -> None:
        """Raise `Draining` later, in handlers that asked for it: the pool is being drained."""
        self._drain_at_s = clock.monotonic() + timeout_s * DRAIN_SHARE
        self._set_timer()

    def _arm(self, context: Context) -> None:
        self._install()
        _set_mask(signal.SIG_UNBLOCK, self._handlers)
        if context.timeout_s:
            self._timeout_at_s = clock.monotonic() + context.timeout_s
            self._set_timer()
        if self._cpu_limit_s:
            self._cpu_at_s = _cpu_s() + self._cpu_limit_s
            self._activity.set_cpu_deadline(self._cpu_at_s + _cpu_s(resource.RUSAGE_CHILDREN))
            self._set_cpu_timer()

    def _disarm(self) -> None:
        self._timeout_at_s = self._cpu_at_s = math.inf
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
            self._raise_in_handler(self._dropped)
        elif now_s >= self._timeout_at_s:
            self._time_out(context)
        elif now_s >= self._drain_at_s:
            self._drain_at_s = math.inf
            self._set_timer()
            if wants_draining(context):
                self._raise_in_handler(Draining("the pool is being drained"))
        else:
            self._set_timer()

    def _on_reminder(self, _number: int, _frame: FrameType | None) -> None:
        """The message is cancelled, or has passed a limit: it may have stopped the timer, or blocked its signal."""
        context = self._context
        if context is None:
            return
        if not self._is_over_limit and self._activity.is_cancel_requested(context.id, context.delivery):
            self._is_over_limit = True
            self._raise_in_handler(MessageCancelled(context.id))
        if clock.monotonic() >= self._timeout_at_s:
            self._time_out(context)
        elif _cpu_s() >= self._cpu_at_s:
            self._exceed_cpu_time()

    def _time_out(self, context: Context) -> None:
        self._timeout_at_s = math.inf
        self._is_over_limit = True
        self._raise_in_handler(MessageTimeout(context.timeout_s or 0.0))

    def _exceed_cpu_time(self) -> None:
        self._cpu_at_s = math.inf
        self._is_over_limit = True
        self._raise_in_handler(CpuTimeExceeded(self._cpu_limit_s or 0.0))

    def _raise_in_handler(self, error: BaseException) -> None:
        self._raised, self._dropped = error, None
        self.interrupt(error)

    def _on_unraisable(self, unraisable: Any) -> None:
        """Raise the limit's error again: Python drops what is raised in `__del__` or in a weak reference's callback."""
        if self._raised is None or unraisable.exc_value is not self._raised:
            self._previous_hook(unraisable)
            return
        self._dropped = self._raised.with_traceback(None)
        signal.setitimer(signal.ITIMER_REAL, 0.001)

    def _set_cpu_timer(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, max(0.01, _CPU_CHECK_SHARE * (self._cpu_at_s - _cpu_s())))

    def _on_cpu_time(self, _number: int, _frame: FrameType | None) -> None:
        if self._context is None:
            return
        if self._cpu_at_s == math.inf:
            return  # the reminder has raised the error already
        if _cpu_s() < self._cpu_at_s:
            self._set_cpu_timer()
        else:
            self._exceed_cpu_time()


def _cpu_s(processes: int = resource.RUSAGE_SELF) -> float:
    """CPU time used so far, measured as the supervisor measures it."""
    used = resource.getrusage(processes)
    return used.ru_utime + used.ru_stime
