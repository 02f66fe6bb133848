"""Samples what the pool uses: the memory and processor time of its workers, and how many of them are busy.

It reads /proc once in ten seconds for each worker, and costs the workers nothing.
"""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Optional, Tuple

import psutil

from bizzmq.broker.broker import Broker
from bizzmq.broker.metrics import NO_USAGE
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.consumer.lease import Lease
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.metrics.pool_usage import MOST_POOLS, PoolUsage, SlotStep, UsageStep, read_usage
from bizzmq.utils import clock
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.janitor.orphans import OrphanedWorkers


class _Before(NamedTuple):
    """The sample before: when it was, how long workers had run messages by then, and used processors, seconds."""

    at_s: float
    run_s: float
    cpu_s: Mapping[str, float]


class UsageSampler:
    """Keeps the last hour of the pool.

    It is noted in the history of the pool's first queue, unless too many pools are on it.

    Args:
        queue: the first queue of the pool, or a shard.
    """

    def __init__(
        self,
        broker: Broker,
        supervisor: str,
        queue: str,
        lease: Lease,
        scoreboard: Scoreboard,
        workers: OrphanedWorkers,
        now_s: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._broker, self._supervisor, self._queue, self._lease = broker, supervisor, queue, lease
        self._scoreboard, self._workers, self._now_s = scoreboard, workers, now_s
        self._usage: Optional[PoolUsage] = None
        self._before: Optional[_Before] = None

    def sample(self, at_s: Optional[float], run_s: float) -> Tuple[bytes, bytes]:
        """Take a sample; the fields to store, empty for none. Raises BrokerUnavailableError.

        Args:
            at_s: the time by Redis's clock, seconds since the epoch; None if it is not known yet.
            run_s: how long all messages have run that have ended since the pool was started.
        """
        if self._usage is None:
            self._usage = self._read()
        now_s, before = self._now_s(), self._before
        memory_kb, cpu_s = self._measure()
        run_s += self._running_s(now_s)
        self._before = _Before(now_s, run_s, {worker: used for (worker, _), used in cpu_s.items()})
        if before is None or at_s is None or now_s <= before.at_s:
            return NO_USAGE
        passed_s = now_s - before.at_s
        cpu_milli = {
            slot: max(0, round(1000 * (used - before.cpu_s.get(worker, 0.0)) / passed_s))
            for (worker, slot), used in cpu_s.items()
        }
        workers = len(memory_kb)
        busy = min(float(workers), max(0.0, (run_s - before.run_s) / passed_s))
        step = UsageStep(sum(memory_kb.values()), sum(cpu_milli.values()), round(1000 * busy), workers)
        self._usage.add(at_s, step, {slot: SlotStep(memory_kb[slot], cpu_milli[slot]) for slot in memory_kb})
        return self._usage.encode() if self._lease.count_supervisors(self._shard) <= MOST_POOLS else NO_USAGE

    @property
    def _shard(self) -> str:
        return self._lease.shards_of(self._queue)[0]

    def _read(self) -> PoolUsage:
        """What an earlier janitor of this pool has noted."""
        try:
            return self._broker.perform(read_usage(self._broker.keys(self._shard), self._supervisor))
        except (*QUEUE_TROUBLE, CommandRefusedError):
            return PoolUsage()

    def _measure(self) -> Tuple[Dict[int, int], Dict[Tuple[str, int], float]]:
        """The resident memory of each slot, and the processor time of its worker until now."""
        memory_kb: Dict[int, int] = {}
        cpu_s: Dict[Tuple[str, int], float] = {}
        for worker, slot, process in self._workers.processes():
            try:
                used, memory = process.cpu_times(), process.memory_info()
            except (psutil.Error, OSError):  # it has just exited, or no descriptor is left to read /proc
                continue
            memory_kb[slot] = memory.rss // 1024
            cpu_s[worker, slot] = used.user + used.system
        return memory_kb, cpu_s

    def _running_s(self, now_s: float) -> float:
        """How long the messages that run now have run, all together."""
        found = 0.0
        for slot in self._workers.slots.values():
            now = self._scoreboard.slot(slot).read()
            if now.activity is Activity.RUNNING:
                found += max(0.0, now_s - now.started_s)
        return found
