"""The resource usage of a soak's pools and servers, sampled each second."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Iterable

import psutil
from redis.exceptions import RedisError

from bizzmq.testing.pool import Pool
from bizzmq.testing.site import Site
from bizzmq.testing.stage import Stage

_EVERY_S = 1.0
_STOP_S = 30.0


@dataclass(frozen=True)
class Use:
    """The usage of several processes together; memory in megabytes."""

    processes: int
    pss_mb: float
    rss_mb: float
    descriptors: int


@dataclass(frozen=True)
class Sample:
    """One sample of everything. `lasting` is the pool that lives from start to end; monotonic seconds."""

    at_s: float
    everything: Use
    lasting: Use
    connections: int
    redis_mb: float


class Sampler:
    """Samples in a thread of its own until `stop`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.samples: list[Sample] = []

    def start(self, stage: Stage) -> None:
        self._thread = threading.Thread(target=self._run, args=(stage,), name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def _run(self, stage: Stage) -> None:
        while not self._over.wait(_EVERY_S):
            lasting = use_of(stage.host.bystanders)
            everything = _sum(
                [lasting, use_of(pool for pool in stage.host.living() if pool not in stage.host.bystanders)]
            )
            try:
                connections, redis_mb = self._site.facts()
            except RedisError:  # the only server is unavailable
                continue
            self.samples.append(Sample(time.monotonic(), everything, lasting, connections, redis_mb))


def use_of(pools: Iterable[Pool]) -> Use:
    """The usage of all processes of these pools, without those that exit meanwhile."""
    uses = []
    for process in [process for pool in pools for process in pool.living()]:
        with suppress(psutil.Error):
            memory = process.memory_full_info()
            rss_mb = memory.rss / 1e6
            uses.append(Use(1, getattr(memory, "pss", memory.rss) / 1e6, rss_mb, process.num_fds()))
    return _sum(uses)


def _sum(uses: Iterable[Use]) -> Use:
    columns = list(zip(*((use.processes, use.pss_mb, use.rss_mb, use.descriptors) for use in uses)))
    processes, pss_mb, rss_mb, descriptors = (sum(column) for column in columns) if columns else (0, 0.0, 0.0, 0)
    return Use(int(processes), pss_mb, rss_mb, int(descriptors))
