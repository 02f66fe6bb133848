"""SIGUSR1: each worker's Python stack goes to the log, with the message that it runs."""

from __future__ import annotations

import logging
from typing import Sequence

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.scoreboard import Activity
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import STACK_WAIT_S, WorkerPool

_logger = logging.getLogger("bizzmq.supervisor")


class StackDump:
    """Has the workers write their stacks by faulthandler, and logs them a moment later.

    Attributes:
        due_s: when there is something to read; infinite if nothing was requested. Monotonic seconds.
    """

    def __init__(self, worker_pool: WorkerPool, queues: Sequence[str]) -> None:
        self._worker_pool = worker_pool
        self._queues = queues
        self._requested: list[tuple[Slot, str]] = []
        self.due_s = float("inf")

    def request(self) -> None:
        """Have every worker that has booted write its stacks."""
        for slot in self._worker_pool.up:
            if slot.booted and slot.pid:
                self._worker_pool.request_stack(slot)
                self._requested.append((slot, slot.worker))
        self.due_s = clock.monotonic() + STACK_WAIT_S

    def tick(self) -> None:
        """Log what was written, when it is time."""
        if clock.monotonic() < self.due_s:
            return
        for slot, worker in self._requested:
            if slot.worker != worker:
                continue
            snapshot = slot.activity.read()
            about = {"slot": slot.index, "pid": slot.pid, "state": snapshot.activity.name.lower()}
            if snapshot.activity is Activity.RUNNING:
                about["message"] = snapshot.running
                about["queue"] = self._queues[snapshot.queue_index]
                about["ran_s"] = round(clock.monotonic() - snapshot.started_s, 3)
            stack = self._worker_pool.stacks[slot.index]
            log(_logger, logging.INFO, "worker stack", trace=stack.read(), **about)
            stack.clear()
        self._requested, self.due_s = [], float("inf")
