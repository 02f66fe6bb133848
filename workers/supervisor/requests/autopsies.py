"""Autopsies: the stacks of messages that run for long are sampled, and stored with them while they still run."""

from __future__ import annotations

import logging
import time
from typing import Callable, Sequence

from bizzmq.protocol.profile import KeptProfile, Profile
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.janitor_messages import KeepProfile
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot
from bizzmq.workers.supervisor.requests.profiler import Profiler
from bizzmq.workers.supervisor.requests.sampling import SlowSession
from bizzmq.workers.supervisor.worker_pool import WorkerPool

_logger = logging.getLogger("bizzmq.supervisor")


class Autopsies:
    """Has slow messages sampled. The janitor knows which ones are slow, and stores the samples.

    Args:
        keep: sends samples to the janitor.
    """

    def __init__(
        self, worker_pool: WorkerPool, profiler: Profiler, queues: Sequence[str], keep: Callable[[KeepProfile], object]
    ) -> None:
        self._worker_pool, self._profiler, self._queues, self._keep = worker_pool, profiler, queues, keep

    def begin(self, worker: str, message_id: str, delivery: int) -> None:
        """Sample this delivery of a message until it ends, unless that is done already, or it has ended."""
        for slot in self._worker_pool.up:
            snapshot = slot.activity.read()
            run = slot.worker, snapshot.activity, snapshot.running, snapshot.delivery
            if run == (worker, Activity.RUNNING, message_id, delivery):
                self._begin(worker, snapshot)

    def _begin(self, worker: str, snapshot: Snapshot) -> None:
        queue = self._queues[snapshot.queue_index]

        def keep(profile: Profile) -> None:
            ran_s = clock.monotonic() - snapshot.started_s
            kept = KeptProfile(profile, snapshot.delivery, worker, ran_s, time.time())
            self._keep(KeepProfile(worker, queue, snapshot.running, kept.encode().decode("utf-8")))

        if self._profiler.follow(SlowSession(worker, snapshot, keep)):
            log(_logger, logging.INFO, "a message runs for long, its stack is sampled", id=snapshot.running,
                queue=queue, worker=worker, ran_s=round(clock.monotonic() - snapshot.started_s, 1))  # fmt: skip
