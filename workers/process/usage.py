"""Memory and CPU time of the processes of a pool, measured on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping

import psutil

from bizzmq.utils import clock

MEGABYTE = 1024 * 1024
RSS = "rss"
PSS = "pss"
_WINDOW_S = 0.5
"""The shortest time over which a share of CPU time is measured; a request before that gets the last share."""


@dataclass(frozen=True)
class Usage:
    """The usage of one process; all None if it has just exited. A CPU share of 100 is one whole processor."""

    memory_bytes: int | None = None
    cpu_s: float | None = None
    cpu_percent: float | None = None


@dataclass
class _Sample:
    process: psutil.Process
    at_s: float
    cpu_s: float
    percent: float


class Meter:
    """Measures processes by pid. Pass only children that have not been reaped, because their pids cannot be reused."""

    def __init__(self, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._now_s = now_s
        self._samples: dict[int, _Sample] = {}

    def measure(self, started: Mapping[int, float]) -> dict[int, Usage]:
        """The usage of each process. Its CPU share counts from the last measurement, at first from its start.

        Args:
            started: pid -> start time, monotonic seconds. Measurements of other processes are forgotten.
        """
        self._samples = {pid: sample for pid, sample in self._samples.items() if pid in started}
        return {pid: self._measure(pid, started_s) for pid, started_s in started.items()}

    def _measure(self, pid: int, started_s: float) -> Usage:
        now_s = self._now_s()
        try:
            sample = self._samples.get(pid)
            process = sample.process if sample is not None else psutil.Process(pid)
            used = process.cpu_times()
            cpu_s = used.user + used.system
            if sample is None:
                share = cpu_s / max(0.01, now_s - started_s)
                sample = self._samples[pid] = _Sample(process, now_s, cpu_s, 100.0 * share)
            elif now_s - sample.at_s >= _WINDOW_S:
                sample.percent = 100.0 * (cpu_s - sample.cpu_s) / (now_s - sample.at_s)
                sample.at_s, sample.cpu_s = now_s, cpu_s
            return Usage(process.memory_info().rss, round(cpu_s, 3), round(sample.percent, 1))
        except (psutil.Error, OSError):  # it has exited, or no descriptor is left to read /proc
            self._samples.pop(pid, None)
            return Usage()


def memory_reader(metric: str) -> Callable[[psutil.Process], int]:
    """A function that measures the memory of a process in bytes: `rss`, or `pss`, which divides shared pages."""
    if metric == PSS:
        return lambda process: int(process.memory_full_info().pss)
    return lambda process: int(process.memory_info().rss)
