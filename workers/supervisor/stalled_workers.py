"""Workers that make no progress in their first message. The fork may be the cause: a library waits for its threads."""

from __future__ import annotations

import logging

import psutil

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.supervisor.preloader import Preloader
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import WorkerPool

_logger = logging.getLogger("bizzmq.supervisor")
AFTER_S = 5.0
"""A first message that has used no CPU time for `n` seconds is reported."""
_CHECK_S = 1.0
_PROGRESS_S = 0.05
NOTE = "makes no progress in its first message"


class StalledWorkers:
    """Checks workers that were forked from a process with threads, once a second, until they have run a message."""

    def __init__(self, worker_pool: WorkerPool, preloader: Preloader) -> None:
        self._worker_pool = worker_pool
        self._preloader = preloader
        self._check_at_s = 0.0
        self._seen: dict[int, tuple[str, float, float]] = {}

    def tick(self) -> None:
        """Check the workers, when it is time."""
        template, now_s = self._preloader.current, clock.monotonic()
        if template is None or not template.has_threads or now_s < self._check_at_s:
            return
        self._check_at_s = now_s + _CHECK_S
        for slot in self._worker_pool.up:
            snapshot = slot.activity.read()
            if snapshot.activity is Activity.RUNNING and not snapshot.handled and not snapshot.failed:
                self._check(slot, snapshot.running, now_s)
            else:
                slot.note = ""
                self._seen.pop(slot.index, None)

    def _check(self, slot: Slot, message: str, now_s: float) -> None:
        if slot.note:
            return
        try:
            times = psutil.Process(slot.pid).cpu_times()
        except psutil.Error:
            return  # it has just ended
        used_s = times.user + times.system
        worker, since_s, before_s = self._seen.get(slot.index, ("", now_s, used_s))
        if worker != slot.worker or used_s - before_s > _PROGRESS_S:
            self._seen[slot.index] = slot.worker, now_s, used_s
        elif now_s - since_s >= AFTER_S:
            slot.note = NOTE
            log(_logger, logging.WARNING, f"a worker {NOTE}: if it does not just wait, a library may miss its threads",
                slot=slot.index, pid=slot.pid, message=message, idle_s=round(now_s - since_s, 1),
                try_="--preload off; SIGUSR1 to the pool shows where it is")  # fmt: skip
