"""Limits while a message runs, the hard half: the supervisor ends what the handler itself did not."""

from __future__ import annotations

import logging

import psutil

from bizzmq import clock
from bizzmq.errors import CpuTimeExceeded, MemoryLimitExceeded, MessageTimeout
from bizzmq.logs import log
from bizzmq.workers import memory
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.crew import Crew
from bizzmq.workers.renewal import Renewal
from bizzmq.workers.scoreboard import Activity
from bizzmq.workers.slot import Slot

_logger = logging.getLogger("bizzmq.supervisor")
_MEASURE_S = 0.5


class Watchdog:
    """Looks at all workers: at their deadlines each round, at memory and CPU time twice a second."""

    def __init__(self, crew: Crew, renewal: Renewal, config: WorkerConfig) -> None:
        self._crew = crew
        self._renewal = renewal
        self._config = config
        self._memory_of = memory.reader(config.memory_metric)
        self._measures = bool(config.max_memory_mb or config.kill_memory_mb or config.cpu_limit_s)
        self._next_s = 0.0
        self._processes: dict[int, psutil.Process] = {}

    def tick(self) -> None:
        """Kill what has passed a hard limit, have replaced what has passed the soft memory limit."""
        now_s = clock.monotonic()
        measure = self._measures and now_s >= self._next_s
        if measure:
            self._next_s = now_s + _MEASURE_S
        for slot in self._crew.up:
            if not slot.working or slot.ended_by_us:
                continue
            self._check_time(slot, now_s)
            if measure and not slot.ended_by_us:
                try:
                    self._measure(slot)
                except (psutil.Error, OSError):
                    continue  # it has just died, which is noticed elsewhere, or no descriptor is left to look at it
        if measure:
            alive = {slot.pid for slot in self._crew.up}
            self._processes = {pid: process for pid, process in self._processes.items() if pid in alive}

    def next_due_s(self) -> float:
        """The next moment at which a deadline may pass. Monotonic seconds."""
        due_s = [self._next_s] if self._measures else []
        for slot in self._crew.up:
            record = slot.record.read()
            if record.activity is Activity.RUNNING and record.deadline_s:
                due_s.append(record.deadline_s + self._config.grace_s)
        return min(due_s, default=float("inf"))

    def _check_time(self, slot: Slot, now_s: float) -> None:
        record = slot.record.read()
        if record.activity is not Activity.RUNNING or not record.deadline_s:
            return
        if now_s >= record.deadline_s + self._config.grace_s:
            limit_s = round(record.deadline_s - record.started_s, 3)
            reason = f"was killed because the message ran past its limit of {limit_s:g} s"
            self._crew.kill(slot, reason, blame=True, failure=MessageTimeout.__name__)

    def _measure(self, slot: Slot) -> None:
        process = self._processes.get(slot.pid) or psutil.Process(slot.pid)
        self._processes[slot.pid] = process
        record = slot.record.read()
        running = record.activity is Activity.RUNNING
        if self._config.cpu_limit_s and running:
            used = process.cpu_times()
            if used.user + used.system > record.cpu_deadline_s + self._config.grace_s > 0:
                reason = f"was killed because the message used more than {self._config.cpu_limit_s:g} s of CPU time"
                self._crew.kill(slot, reason, blame=True, failure=CpuTimeExceeded.__name__)
                return
        slot.memory_bytes = self._memory_of(process)
        memory_mb = slot.memory_bytes / memory.MEGABYTE
        if self._config.kill_memory_mb and memory_mb > self._config.kill_memory_mb:
            reason = f"was killed because it had grown to {memory_mb:.0f} MB, over {self._config.kill_memory_mb:g}"
            self._crew.kill(slot, reason, blame=True, failure=MemoryLimitExceeded.__name__)
        elif slot.memory_limit_mb and memory_mb > slot.memory_limit_mb and slot.counts and not slot.recycling:
            slot.recycling = True
            if not record.handled and not running:
                log(_logger, logging.ERROR, "a worker starts beyond max_memory_mb, it stays",
                    slot=slot.index, memory_mb=round(memory_mb))  # fmt: skip
                return
            log(_logger, logging.INFO, "worker has grown, replacing it", slot=slot.index, memory_mb=round(memory_mb))
            self._renewal.replace(slot, "has grown")
