"""Limits while a message runs, the hard half: the supervisor ends what the handler itself did not."""

from __future__ import annotations

import logging
from typing import Any, Iterable, NamedTuple

import psutil

from bizzmq import clock
from bizzmq.errors import CpuTimeExceeded, MemoryLimitExceeded, MessageTimeout
from bizzmq.logs import log
from bizzmq.workers import memory
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.crew import WRITING_S, Crew
from bizzmq.workers.renewal import Renewal
from bizzmq.workers.scoreboard import Activity, Snapshot
from bizzmq.workers.slot import Slot

_logger = logging.getLogger("bizzmq.supervisor")
_MEASURE_S = 0.5


class _Sentence(NamedTuple):
    """That a worker is to be killed at this monotonic second, unless it has come to something else by then."""

    run: tuple[Any, ...]
    reason: str
    failure: str
    at_s: float


def _run_of(slot: Slot, record: Snapshot) -> tuple[Any, ...]:
    """Which run of which message a worker is at."""
    return slot.worker, record.activity, record.running, record.delivery


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
        self._condemned: dict[int, _Sentence] = {}

    def tick(self) -> None:
        """Kill what has passed a hard limit, have replaced what has passed the soft memory limit."""
        now_s = clock.monotonic()
        measure = self._measures and now_s >= self._next_s
        if measure:
            self._next_s = now_s + _MEASURE_S
        for slot in self._crew.up:
            if not slot.working or slot.ended_by_us:
                self._condemned.pop(slot.index, None)
                continue
            if slot.index in self._condemned:
                self._execute(slot, now_s)
                continue
            self._check_time(slot, now_s)
            if measure and not slot.ended_by_us:
                try:
                    self._measure(slot)
                except (psutil.Error, OSError):
                    continue  # it has just died, which is noticed elsewhere, or no descriptor is left to look at it
        if self._condemned:
            up = {slot.index for slot in self._crew.up}
            self._condemned = {index: sentence for index, sentence in self._condemned.items() if index in up}
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
        due_s += [sentence.at_s for sentence in self._condemned.values()]
        return min(due_s, default=float("inf"))

    def _condemn(self, slot: Slot, record: Snapshot, reason: str, failure: str) -> None:
        """Kill a worker in a moment: first it writes where it is, in Python's terms, for the message's record."""
        self._crew.ask_for_stack(slot)
        self._condemned[slot.index] = _Sentence(_run_of(slot, record), reason, failure, clock.monotonic() + WRITING_S)

    def _execute(self, slot: Slot, now_s: float) -> None:
        """Kill it, unless it has finished the message by now: then it is no more to blame."""
        sentence, record = self._condemned[slot.index], slot.record.read()
        is_same = _run_of(slot, record) == sentence.run
        if is_same and now_s < sentence.at_s:
            return
        del self._condemned[slot.index]
        if is_same:
            self._crew.kill(slot, sentence.reason, blame=True, failure=sentence.failure)

    def _check_time(self, slot: Slot, now_s: float) -> None:
        record = slot.record.read()
        if record.activity is not Activity.RUNNING or not record.deadline_s:
            return
        if now_s >= record.deadline_s + self._config.grace_s:
            limit_s = round(record.deadline_s - record.started_s, 3)
            reason = f"was killed because the message ran past its limit of {limit_s:g} s"
            self._condemn(slot, record, reason, MessageTimeout.__name__)

    def _memory_or_none(self, process: psutil.Process) -> int:
        """Of what a handler has started, which may be gone by now."""
        try:
            return self._memory_of(process)
        except (psutil.Error, OSError):
            return 0

    def _measure(self, slot: Slot) -> None:
        process = self._processes.get(slot.pid) or psutil.Process(slot.pid)
        self._processes[slot.pid] = process
        family = [process, *_alive(self._crew.descendants.of(slot.pid, slot.worker))]
        record = slot.record.read()
        running = record.activity is Activity.RUNNING
        cpu_limit_s = self._config.cpu_limit_s
        if cpu_limit_s and running and _cpu_s(family) > record.cpu_deadline_s + self._config.grace_s > 0:
            reason = f"was killed because the message used more than {cpu_limit_s:g} s of CPU time"
            self._condemn(slot, record, reason, CpuTimeExceeded.__name__)
            return
        slot.memory_bytes = self._memory_of(process) + sum(map(self._memory_or_none, family[1:]))
        memory_mb = slot.memory_bytes / memory.MEGABYTE
        if self._config.kill_memory_mb and memory_mb > self._config.kill_memory_mb:
            reason = f"was killed because it had grown to {memory_mb:.0f} MB, over {self._config.kill_memory_mb:g}"
            self._condemn(slot, record, reason, MemoryLimitExceeded.__name__)
        elif slot.memory_limit_mb and memory_mb > slot.memory_limit_mb and slot.counts and not slot.recycling:
            slot.recycling = True
            if not record.handled and not running:
                log(_logger, logging.ERROR, "a worker starts beyond max_memory_mb, it stays",
                    slot=slot.index, memory_mb=round(memory_mb))  # fmt: skip
                return
            log(_logger, logging.INFO, "worker has grown, replacing it", slot=slot.index, memory_mb=round(memory_mb))
            self._renewal.replace(slot, "has grown")


def _alive(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid))
        except psutil.Error:
            continue  # it has just ended
    return found


def _cpu_s(family: Iterable[psutil.Process]) -> float:
    """CPU time of some processes, and of all children that they have waited for."""
    used = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used
