"""The number of workers: more while messages wait too long, fewer while workers idle, no more under pressure."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.janitor_messages import Gauges
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.supervisor.slot import Phase
from bizzmq.workers.supervisor.worker_pool import WorkerPool

_logger = logging.getLogger("bizzmq.supervisor")

_PRESSURE = Path("/proc/pressure")
CPU_PRESSURE = 60.0
MEMORY_PRESSURE = 10.0
"""Percent of the last ten seconds in which some task had to wait for the resource (Linux PSI, `some avg10`)."""
SHRINK_EVERY_S = 5.0
_MEMORY_RESERVE = 0.1


class Autoscaler:
    """Moves the pool's target between `min_concurrency` and `concurrency`.

    How long messages wait is estimated from the number that wait and the recent throughput (Little's law): the age of
    a message says when it was published, not since when it could have been handled.
    """

    def __init__(self, worker_pool: WorkerPool, config: WorkerConfig, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._worker_pool = worker_pool
        self._config = config
        self._now_s = now_s
        self._last: tuple[float, int] | None = None
        self._waiting_since_s: float | None = None
        self._idle_since_s = now_s()

    def scale(self, gauges: Gauges) -> None:
        """Change the target by what the janitor has counted."""
        now_s, waiting = self._now_s(), gauges.waiting
        wait_s = self._wait_s(now_s, waiting, gauges.settled)
        if wait_s > self._config.scale_latency_s:
            self._grow(wait_s, waiting)
        if waiting or self._idle_workers() == 0:
            self._idle_since_s = now_s
        elif now_s - self._idle_since_s >= self._config.scale_idle_s:
            self._shrink()
            self._idle_since_s = now_s - self._config.scale_idle_s + SHRINK_EVERY_S

    def _wait_s(self, now_s: float, waiting: int, settled: int) -> float:
        """The estimated wait of a message that is published now."""
        last, self._last = self._last, (now_s, settled)
        if waiting == 0:
            self._waiting_since_s = None
            return 0.0
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        waited_s = now_s - self._waiting_since_s
        if last is None or now_s <= last[0]:
            return waited_s
        rate = (settled - last[1]) / (now_s - last[0])
        return waiting / rate if rate > 0 else waited_s

    def _grow(self, wait_s: float, waiting: int) -> None:
        target = min(self._config.worker_count, self._worker_pool.target + max(1, self._worker_pool.target // 2))
        if target <= self._worker_pool.target or any(
            slot.phase is Phase.UP and not slot.working for slot in self._worker_pool.counted
        ):
            return  # the last ones have not begun to work yet: their effect is still to come
        pressure = self.pressure_problem()
        if pressure:
            log(_logger, logging.INFO, "messages wait, but the pool does not grow", why=pressure)
            return
        log(_logger, logging.INFO, "messages wait, the pool grows", wait_s=round(wait_s, 1), waiting=waiting,
            workers=target)  # fmt: skip
        self._worker_pool.target = target

    def _shrink(self) -> None:
        if self._worker_pool.target > self._config.min_concurrency:
            self._worker_pool.target -= 1
            log(_logger, logging.INFO, "workers idle, the pool shrinks", workers=self._worker_pool.target)

    def _idle_workers(self) -> int:
        working = (slot for slot in self._worker_pool.counted if slot.working)
        return sum(slot.activity.read().activity is Activity.IDLE for slot in working)

    def pressure_problem(self) -> str | None:
        """Why the machine cannot take another worker, or None."""
        try:
            memory = psutil.virtual_memory()
        except OSError as error:
            return f"the memory cannot be looked at: {error.strerror}"
        if memory.available < _MEMORY_RESERVE * memory.total:
            return f"only {memory.available >> 20} MB of memory are available"
        for resource, limit in (("memory", MEMORY_PRESSURE), ("cpu", CPU_PRESSURE)):
            share = some_avg10(_PRESSURE / resource)
            if share is not None and share > limit:
                return f"{resource} pressure is {share:g}%"
        return None


def some_avg10(file: Path) -> float | None:
    """The `some avg10` of a pressure file; None where the system has no such file."""
    try:
        words = file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return next((float(word[6:]) for word in words if word.startswith("avg10=")), None)
