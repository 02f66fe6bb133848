"""Hard limits of time, CPU time and memory, and cancels: a worker whose handler did not end by itself is killed."""

from __future__ import annotations

import logging
from typing import Any, Iterable, NamedTuple

import psutil

from bizzmq.errors import CpuTimeExceeded, MemoryLimitExceeded, MessageCancelled, MessageTimeout
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.slot_activity import REMINDER, Activity, Snapshot
from bizzmq.workers.process.usage import MEGABYTE, memory_reader
from bizzmq.workers.supervisor.rolling_restart import RollingRestart
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import STACK_WAIT_S, WorkerPool

_logger = logging.getLogger("bizzmq.supervisor")
_MEASURE_S = 0.5
_REMIND_S = 0.2
"""A worker that has passed a limit by `n` seconds is reminded: its own timer should have raised it before."""


class _PlannedKill(NamedTuple):
    """A worker is to be killed at this moment, unless it has finished its message by then. Monotonic seconds."""

    run: tuple[Any, ...]
    reason: str
    failure: str
    at_s: float


def _run_of(slot: Slot, snapshot: Snapshot) -> tuple[Any, ...]:
    """Identifies what a worker runs: one delivery of one message."""
    return slot.worker, snapshot.activity, snapshot.running, snapshot.delivery


class HardLimits:
    """Checks all workers: their deadlines in each round, their memory and CPU time twice a second."""

    def __init__(self, worker_pool: WorkerPool, rolling_restart: RollingRestart, config: WorkerConfig) -> None:
        self._worker_pool = worker_pool
        self._rolling_restart = rolling_restart
        self._config = config
        self._memory_of = memory_reader(config.memory_metric)
        self._measures = bool(config.max_memory_mb or config.kill_memory_mb or config.cpu_limit_s)
        self._next_s = 0.0
        self._processes: dict[int, psutil.Process] = {}
        self._planned: dict[int, _PlannedKill] = {}
        self._reminded: dict[int, tuple[Any, ...]] = {}
        self._cancelled: dict[int, _PlannedKill] = {}
        self._remind_s = min(_REMIND_S, config.grace_s / 2)

    def cancel(self, worker: str, message_id: str, delivery: int) -> None:
        """Cancel the message that a worker runs: first in its handler, after the grace by SIGKILL."""
        for slot in self._worker_pool.up:
            snapshot = slot.activity.read()
            run, known = (worker, Activity.RUNNING, message_id, delivery), self._cancelled.get(slot.index)
            if _run_of(slot, snapshot) != run or slot.ended_by_us or (known is not None and known.run == run):
                continue
            reason, at_s = "was killed because its message was cancelled", clock.monotonic() + self._config.grace_s
            self._cancelled[slot.index] = _PlannedKill(run, reason, MessageCancelled.__name__, at_s)
            slot.activity.request_cancel(message_id, delivery)
            self._worker_pool.signal(slot, REMINDER)

    def is_killing(self, slot: Slot) -> bool:
        """Whether this slot's worker is about to be killed, and writes its stack for the record."""
        return slot.index in self._planned

    def tick(self) -> None:
        """Kill workers that have passed a hard limit, replace those that have passed the soft memory limit."""
        now_s = clock.monotonic()
        measure = self._measures and now_s >= self._next_s
        if measure:
            self._next_s = now_s + _MEASURE_S
        for slot in self._worker_pool.up:
            if not slot.working or slot.ended_by_us:
                self._planned.pop(slot.index, None)
                self._cancelled.pop(slot.index, None)
                continue
            if slot.index in self._planned:
                self._kill_if_due(slot, now_s)
                continue
            self._check_cancel(slot, now_s)
            self._check_time(slot, now_s)
            if measure and not slot.ended_by_us:
                try:
                    self._measure(slot)
                except (psutil.Error, OSError):
                    continue  # it has just died, or no descriptor is left to read its figures
        if self._planned or self._cancelled:
            up = {slot.index for slot in self._worker_pool.up}
            self._planned = {index: planned for index, planned in self._planned.items() if index in up}
            self._cancelled = {index: cancel for index, cancel in self._cancelled.items() if index in up}
        if measure:
            alive = {slot.pid for slot in self._worker_pool.up}
            self._processes = {pid: process for pid, process in self._processes.items() if pid in alive}

    def next_due_s(self) -> float:
        """The next moment at which a deadline may pass. Monotonic seconds."""
        due_s = [self._next_s] if self._measures else []
        for slot in self._worker_pool.up:
            snapshot = slot.activity.read()
            if snapshot.activity is Activity.RUNNING and snapshot.deadline_s:
                is_reminded = self._reminded.get(slot.index) == _run_of(slot, snapshot)
                due_s.append(snapshot.deadline_s + (self._config.grace_s if is_reminded else self._remind_s))
        due_s += [planned.at_s for planned in (*self._planned.values(), *self._cancelled.values())]
        return min(due_s, default=float("inf"))

    def _plan_kill(self, slot: Slot, snapshot: Snapshot, reason: str, failure: str) -> None:
        """Kill a worker in a moment. Before that, it writes its Python stack for the message's error record."""
        self._worker_pool.request_stack(slot)
        at_s = clock.monotonic() + STACK_WAIT_S
        self._planned[slot.index] = _PlannedKill(_run_of(slot, snapshot), reason, failure, at_s)

    def _kill_if_due(self, slot: Slot, now_s: float) -> None:
        """Kill it when it is time, unless it has finished the message meanwhile."""
        planned, snapshot = self._planned[slot.index], slot.activity.read()
        is_same = _run_of(slot, snapshot) == planned.run
        if is_same and now_s < planned.at_s:
            return
        del self._planned[slot.index]
        if is_same:
            self._worker_pool.kill(slot, planned.reason, blame=True, failure=planned.failure)

    def _remind(self, slot: Slot, snapshot: Snapshot) -> None:
        """Have the limit raised in the handler, once: the handler may have changed the signals that its timer needs."""
        run = _run_of(slot, snapshot)
        if self._reminded.get(slot.index) != run:
            self._reminded[slot.index] = run
            self._worker_pool.signal(slot, REMINDER)

    def _check_cancel(self, slot: Slot, now_s: float) -> None:
        cancel = self._cancelled.get(slot.index)
        if cancel is None:
            return
        snapshot = slot.activity.read()
        if _run_of(slot, snapshot) != cancel.run:
            del self._cancelled[slot.index]
        elif now_s >= cancel.at_s:
            del self._cancelled[slot.index]
            self._plan_kill(slot, snapshot, cancel.reason, cancel.failure)

    def _check_time(self, slot: Slot, now_s: float) -> None:
        snapshot = slot.activity.read()
        if slot.index in self._planned or snapshot.activity is not Activity.RUNNING or not snapshot.deadline_s:
            return
        if now_s >= snapshot.deadline_s + self._config.grace_s:
            limit_s = round(snapshot.deadline_s - snapshot.started_s, 3)
            reason = f"was killed because the message ran past its limit of {limit_s:g} s"
            self._plan_kill(slot, snapshot, reason, MessageTimeout.__name__)
        elif now_s >= snapshot.deadline_s + self._remind_s:
            self._remind(slot, snapshot)

    def _memory_or_0(self, process: psutil.Process) -> int:
        """The memory of a process that a handler has started; 0 if it is gone by now."""
        try:
            return self._memory_of(process)
        except (psutil.Error, OSError):
            return 0

    def _measure(self, slot: Slot) -> None:
        process = self._processes.get(slot.pid) or psutil.Process(slot.pid)
        self._processes[slot.pid] = process
        family = [process, *_alive(self._worker_pool.descendants.of(slot.pid, slot.worker))]
        snapshot = slot.activity.read()
        self._check_cpu_time(slot, snapshot, family)
        if slot.index not in self._planned:
            slot.memory_bytes = self._memory_of(process) + sum(map(self._memory_or_0, family[1:]))
            self._check_memory(slot, snapshot)

    def _check_cpu_time(self, slot: Slot, snapshot: Snapshot, family: Iterable[psutil.Process]) -> None:
        limit_s = self._config.cpu_limit_s
        if not limit_s or not snapshot.cpu_deadline_s or snapshot.activity is not Activity.RUNNING:
            return
        over_s = _cpu_s(family) - snapshot.cpu_deadline_s
        if over_s > self._config.grace_s:
            reason = f"was killed because the message used more than {limit_s:g} s of CPU time"
            self._plan_kill(slot, snapshot, reason, CpuTimeExceeded.__name__)
        elif over_s > self._remind_s:
            self._remind(slot, snapshot)

    def _check_memory(self, slot: Slot, snapshot: Snapshot) -> None:
        memory_mb, kill_mb = slot.memory_bytes / MEGABYTE, self._config.kill_memory_mb
        if kill_mb and memory_mb > kill_mb:
            reason = f"was killed because it had grown to {memory_mb:.0f} MB, over {kill_mb:g}"
            self._plan_kill(slot, snapshot, reason, MemoryLimitExceeded.__name__)
        elif slot.memory_limit_mb and memory_mb > slot.memory_limit_mb and slot.is_counted and not slot.recycling:
            slot.recycling = True
            if not snapshot.handled and snapshot.activity is not Activity.RUNNING:
                log(_logger, logging.ERROR, "a worker starts beyond max_memory_mb, it stays",
                    slot=slot.index, memory_mb=round(memory_mb))  # fmt: skip
                return
            log(_logger, logging.INFO, "worker has grown, replacing it", slot=slot.index, memory_mb=round(memory_mb))
            self._rolling_restart.replace(slot, "has grown")


def _alive(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid))
        except psutil.Error:
            continue  # it has just ended
    return found


def _cpu_s(family: Iterable[psutil.Process]) -> float:
    """CPU time of some processes, with all children that they have waited for."""
    used = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used
