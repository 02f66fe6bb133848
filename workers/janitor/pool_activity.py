"""What the pool does, read from its shared memory: the report that is stored with each heartbeat."""

from __future__ import annotations

import sys
from typing import Any, Iterator, Mapping, Tuple

from bizzmq.protocol.keys import logical_queue
from bizzmq.protocol.pool_report import (
    DRAINING,
    PAUSED,
    POOL,
    WORKING,
    PoolReport,
    RunningMessage,
    own_versions,
)
from bizzmq.utils import clock
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.janitor.orphans import OrphanedWorkers


class PoolActivity:
    """Makes the report of the pool for one of its queues. It costs the workers nothing."""

    def __init__(self, config: WorkerConfig, scoreboard: Scoreboard, orphans: OrphanedWorkers) -> None:
        self._config = config
        self._scoreboard = scoreboard
        self._orphans = orphans
        self._about: Mapping[str, Any] = {
            **own_versions(),
            "target": target_of(config),
            "code": config.code_version,
            "asked_on": config.queues[0],
        }

    def report(self, queue: str) -> PoolReport:
        """The report for a queue or a shard."""
        index, now_s = self._index_of(queue), clock.monotonic()
        running = list(self._running(now_s))
        return PoolReport(
            POOL, self._state(), **self._about, workers=len(self._orphans.workers), busy=len(running),
            longest_s=max((one.for_s for _, one in running), default=0.0),
            beat_s=self._config.beat_s, lease_s=self._config.lease_s,
            closed_s=max(0.0, self._scoreboard.gate.closed_until_s(index) - now_s),
            running=tuple(one for of_queue, one in running if of_queue == index),
        )  # fmt: skip

    def _state(self) -> str:
        if self._scoreboard.is_draining:
            return DRAINING
        return PAUSED if self._scoreboard.gate.paused else WORKING

    def _index_of(self, queue: str) -> int:
        queues = list(self._config.queues)
        return queues.index(queue if queue in queues else logical_queue(queue))

    def _running(self, now_s: float) -> Iterator[Tuple[int, RunningMessage]]:
        """The messages that run, each with the index of its queue."""
        for worker, slot in self._orphans.slots.items():
            now = self._scoreboard.slot(slot).read()
            if now.activity is Activity.RUNNING:
                yield (
                    now.queue_index,
                    RunningMessage(worker, now.running, max(0.0, now_s - now.started_s), now.delivery),
                )


def target_of(config: WorkerConfig) -> str:
    """The name of what the pool runs."""
    handler = config.handler
    if isinstance(handler, str):
        return handler
    module = getattr(handler, "__module__", type(handler).__module__)
    main = getattr(sys.modules.get(module), "__spec__", None)
    name = main.name if module == "__main__" and main is not None else module
    return f"{name}:{getattr(handler, '__qualname__', type(handler).__name__)}"
