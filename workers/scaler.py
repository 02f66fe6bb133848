"""Autoscaling: more workers while messages wait too long, fewer while workers idle, none under pressure."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Mapping

import psutil

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.crew import Crew
from bizzmq.workers.scoreboard import Activity
from bizzmq.workers.slot import Phase

_logger = logging.getLogger("bizzmq.supervisor")

_PRESSURE = Path("/proc/pressure")
CPU_PRESSURE = 60.0
MEMORY_PRESSURE = 10.0
"""Percent of the last ten seconds in which some task had to wait for the resource (Linux PSI, `some avg10`)."""
SHRINK_EVERY_S = 5.0
_MEMORY_RESERVE = 0.1


class Scaler:
    """Moves the crew's target between `min_concurrency` and `concurrency`.

    How long messages wait is estimated by what is waiting and how fast it went of late (Little's law), since
    the age of a message says when it was published, not since when it could have been handled.
    """

    def __init__(self, crew: Crew, config: WorkerConfig, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._crew = crew
        self._config = config
        self._now_s = now_s
        self._last: tuple[float, int] | None = None
        self._waiting_since_s: float | None = None
        self._idle_since_s = now_s()

    @property
    def active(self) -> bool:
        """Whether there is anything to scale."""
        return self._config.min_concurrency > 0

    def see(self, gauges: Mapping[str, Any]) -> None:
        """Take in what the janitor has counted: `waiting` messages, and `settled` ones since the queues exist."""
        now_s, waiting = self._now_s(), int(gauges["waiting"])
        wait_s = self._wait_s(now_s, waiting, int(gauges["settled"]))
        if wait_s > self._config.scale_latency_s:
            self._grow(wait_s, waiting)
        if waiting or self._idle_workers() == 0:
            self._idle_since_s = now_s
        elif now_s - self._idle_since_s >= self._config.scale_idle_s:
            self._shrink()
            self._idle_since_s = now_s - self._config.scale_idle_s + SHRINK_EVERY_S

    def _wait_s(self, now_s: float, waiting: int, settled: int) -> float:
        """How long a message that is published now would wait, estimated."""
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
        target = min(self._config.worker_count, self._crew.target + max(1, self._crew.target // 2))
        if target <= self._crew.target or any(
            slot.phase is Phase.UP and not slot.working for slot in self._crew.counted
        ):
            return  # the last ones have not begun to work yet: see first what they do
        pressure = self.pressure()
        if pressure:
            log(_logger, logging.INFO, "messages wait, but the pool does not grow", why=pressure)
            return
        log(_logger, logging.INFO, "messages wait, the pool grows", wait_s=round(wait_s, 1), waiting=waiting,
            workers=target)  # fmt: skip
        self._crew.target = target

    def _shrink(self) -> None:
        if self._crew.target > self._config.min_concurrency:
            self._crew.target -= 1
            log(_logger, logging.INFO, "workers idle, the pool shrinks", workers=self._crew.target)

    def _idle_workers(self) -> int:
        working = (slot for slot in self._crew.counted if slot.working)
        return sum(slot.record.read().activity is Activity.IDLE for slot in working)

    def pressure(self) -> str:
        """Why the machine cannot take another worker, or ""."""
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
        return ""


def some_avg10(file: Path) -> float | None:
    """The `some avg10` of a pressure file; None where there is none."""
    try:
        words = file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return next((float(word[6:]) for word in words if word.startswith("avg10=")), None)
