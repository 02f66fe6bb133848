"""What a worker's end means: for its messages, for its queue, for the log and the pool's totals."""

from __future__ import annotations

import logging
import signal
import time
from typing import Any, Mapping, Sequence

from bizzmq.broker.workers import DeathKind
from bizzmq.errors import CpuTimeExceeded, MemoryLimitExceeded, MessageCancelled, MessageTimeout
from bizzmq.metrics.death import Death, count_death
from bizzmq.middleware.base import WorkerCrash
from bizzmq.protocol.ids import host_name
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot
from bizzmq.workers.ipc.worker_exit import ExitStatus, WorkerExit
from bizzmq.workers.process.cgroups import OomWatch
from bizzmq.workers.supervisor.children.janitor_process import JanitorProcess
from bizzmq.workers.supervisor.circuit_breaker import CircuitBreaker
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import NOT_NEEDED, WorkerPool

_logger = logging.getLogger("bizzmq.supervisor")

_LIMIT_CAUSES = {
    MessageTimeout.__name__: "timeout", CpuTimeExceeded.__name__: "cpu_limit",
    MemoryLimitExceeded.__name__: "memory_limit", MessageCancelled.__name__: "cancelled",
}  # fmt: skip
_SIGNAL_CAUSES: Mapping[int, str] = {signal.SIGKILL: "sigkill", signal.SIGSEGV: "sigsegv", signal.SIGABRT: "sigabrt"}


class PostMortem:
    """Examines dead workers before their slots are cleared.

    Attributes:
        handled, failed: attempts of all dead workers that succeeded, and that did not.
        deaths: how many workers have died; those that left in order do not count.
    """

    def __init__(
        self, worker_pool: WorkerPool, janitor: JanitorProcess, circuit_breaker: CircuitBreaker, queues: Sequence[str]
    ) -> None:
        self._worker_pool = worker_pool
        self._janitor = janitor
        self._circuit_breaker = circuit_breaker
        self._queues = queues
        self._oom = OomWatch()
        self.handled = self.failed = self.deaths = 0

    def examine(self, slot: Slot, status: ExitStatus, *, quiet: bool) -> tuple[Snapshot, str]:
        """Have a dead worker's messages settled, and log what happened.

        Args:
            quiet: log no death: for workers that never booted, which the supervisor reports in one line.

        Returns:
            The last snapshot of its activity, and how it ended; "" if it left in order.
        """
        snapshot = slot.activity.read()
        is_orderly = status.code == 0 and snapshot.activity is Activity.LEFT
        reason = slot.ended_by_us or str(status)
        facts: dict[str, Any] = {}
        if not is_orderly:
            is_kernels = status.signal_number == signal.SIGKILL and not slot.ended_by_us
            stack = self._worker_pool.stacks[slot.index].read()
            facts = _facts(status, snapshot, stack, self._oom.has_struck() if is_kernels else None)
        if not slot.ended_by_us and _is_time_limit(status, snapshot):
            slot.failure = MessageTimeout.__name__
            reason = f"{reason} at its message's time limit, with no handler of that signal"
        blame = slot.blame and not is_orderly and not _is_by_our_signal(status, slot)
        worker_exit = WorkerExit.of_snapshot(
            slot.worker, snapshot, reason, self._queues, blame=blame, error_type=slot.failure, facts=facts,
            results=slot.activity.results(),
            checkpoint=slot.activity.records.checkpoint(),
            output=slot.activity.output(snapshot.running, snapshot.delivery),
        )  # fmt: skip
        self._janitor.requeue(worker_exit)
        if worker_exit.what is DeathKind.CRASH:
            self._circuit_breaker.died(snapshot.queue_index, snapshot.running)
        if is_orderly or slot.ended_by_us == NOT_NEEDED:
            why = snapshot.exit_reason.value if is_orderly else NOT_NEEDED
            log(_logger, logging.DEBUG, "worker left", why=why, **_about(slot, snapshot))
        elif not quiet:
            self._log_death(slot, status, snapshot, reason, facts)
        self._count(snapshot, died=not is_orderly and slot.pid > 0)
        if not is_orderly and slot.pid > 0 and slot.ended_by_us != NOT_NEEDED:
            count_death(slot.activity.table, _death(slot, status, snapshot, worker_exit, facts))
        return snapshot, "" if is_orderly else reason

    def _count(self, snapshot: Snapshot, *, died: bool) -> None:
        self.handled += snapshot.handled
        self.failed += snapshot.failed
        self.deaths += died

    def _log_death(
        self, slot: Slot, status: ExitStatus, snapshot: Snapshot, reason: str, facts: Mapping[str, Any]
    ) -> None:
        about = _about(slot, snapshot)
        if snapshot.activity is Activity.RUNNING:
            about["message"] = snapshot.running
            about["queue"] = self._queues[snapshot.queue_index]
        about.update((name, value) for name, value in facts.items() if name != "stack")
        is_cancelled = slot.failure == MessageCancelled.__name__
        is_ours = (slot.ended_by_us and not slot.blame) or is_cancelled or _is_by_our_signal(status, slot)
        level = logging.INFO if is_ours else logging.ERROR
        if not is_ours:
            self._worker_pool.crash_reports.add(self._crash(slot, status, snapshot, reason, facts))
        log(_logger, level, "worker died", how=reason, trace=str(facts.get("stack", "")), **about)

    def _crash(
        self, slot: Slot, status: ExitStatus, snapshot: Snapshot, reason: str, facts: Mapping[str, Any]
    ) -> WorkerCrash:
        was_running = snapshot.activity is Activity.RUNNING
        return WorkerCrash(
            reason=reason,
            worker=slot.worker,
            slot=slot.index,
            pid=slot.pid,
            host=host_name(),
            died_at_s=time.time(),
            message_id=snapshot.running if was_running else "",
            queue=self._queues[snapshot.queue_index] if was_running else "",
            delivery=snapshot.delivery if was_running else 0,
            ran_s=facts.get("ran_s", 0.0),
            error_type=slot.failure or "WorkerCrashed",
            signal=status.signal_name,
            exit_code=status.code,
            oom_killed=facts.get("oom_killed"),
            peak_memory_bytes=status.peak_memory_bytes,
            cpu_s=status.cpu_s,
            stack=str(facts.get("stack", "")),
        )


def _death(
    slot: Slot, status: ExitStatus, snapshot: Snapshot, worker_exit: WorkerExit, facts: Mapping[str, Any]
) -> Death:
    """The death for the metrics."""
    is_blamed = worker_exit.what in (DeathKind.CRASH, DeathKind.FAILED)
    outcome = ""
    if is_blamed:
        outcome = "crashed" if worker_exit.what is DeathKind.CRASH else "killed"
        outcome = "cancelled" if slot.failure == MessageCancelled.__name__ else outcome
    elif snapshot.activity is Activity.RUNNING:
        outcome = "released"
    return Death(
        _cause(slot, status, facts), outcome, snapshot.queue_index, snapshot.task,
        clock.monotonic() - snapshot.started_s, status.peak_memory_bytes,
    )  # fmt: skip


def _cause(slot: Slot, status: ExitStatus, facts: Mapping[str, Any]) -> str:
    if slot.failure:
        return _LIMIT_CAUSES.get(slot.failure, "ended")
    if slot.ended_by_us or _is_by_our_signal(status, slot):
        return "ended"
    if facts.get("oom_killed"):
        return "oom"
    if status.signal_number is None:
        return "exit"
    return _SIGNAL_CAUSES.get(status.signal_number, "signal")


def _about(slot: Slot, snapshot: Snapshot) -> dict[str, Any]:
    return {"slot": slot.index, "pid": slot.pid, "worker": slot.worker, "handled": snapshot.handled}


def _facts(status: ExitStatus, snapshot: Snapshot, stack: str, oom_killed: bool | None) -> dict[str, Any]:
    """What the log and the message's error record say of a death, without what is unknown."""
    facts: dict[str, Any] = {
        "signal": status.signal_name,
        "exit_code": status.code,
        "oom_killed": oom_killed,
        "peak_memory_bytes": status.peak_memory_bytes,
        "cpu_s": status.cpu_s,
    }
    if snapshot.activity is Activity.RUNNING:
        facts["ran_s"] = round(clock.monotonic() - snapshot.started_s, 3)
    if stack:
        facts["stack"] = stack
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _is_by_our_signal(status: ExitStatus, slot: Slot) -> bool:
    """Whether the supervisor's signal has ended the worker, at once or through a handler that the user installed."""
    return status.signal_number in slot.sent or (status.code is not None and signal.SIGTERM in slot.sent)


def _is_time_limit(status: ExitStatus, snapshot: Snapshot) -> bool:
    """Whether the timer of the message's limit has ended the worker: the message had set SIGALRM to its default."""
    is_over = 0.0 < snapshot.deadline_s <= clock.monotonic()
    return status.signal_number == signal.SIGALRM and snapshot.activity is Activity.RUNNING and is_over
