"""The Python stacks of workers, with the messages that they run: for the log after SIGUSR1, and for those who ask."""

from __future__ import annotations

import logging
from typing import Callable, Collection, List, NamedTuple, Sequence

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import STACK_WAIT_S, WorkerPool

_AGAIN_S, _PATIENCE_S = 0.1, 2.0
"""A worker that finds no processor is given more time to write its stacks."""
_logger = logging.getLogger("bizzmq.supervisor")


class WorkerStack(NamedTuple):
    """The stacks of a worker's threads at one moment.

    Attributes:
        state: what it did.
        message, queue: what it ran; "" if it ran none.
        ran_s: for how long, seconds.
        trace: as faulthandler writes it; "" if the worker did not write it in time.
    """

    slot: int
    pid: int
    worker: str
    state: str
    message: str = ""
    queue: str = ""
    ran_s: float = 0.0
    trace: str = ""

    def about(self) -> dict[str, object]:
        """The facts for a log line."""
        about: dict[str, object] = {"slot": self.slot, "pid": self.pid, "state": self.state}
        if self.message:
            about.update(message=self.message, queue=self.queue, ran_s=self.ran_s)
        return about


Deliver = Callable[[List[WorkerStack]], object]


class _Reading(NamedTuple):
    """Stacks that are to be read at a moment, or when they are there. Monotonic seconds."""

    at_s: float
    give_up_s: float
    workers: Sequence[tuple[Slot, str]]
    deliver: Deliver


class StackDump:
    """Has workers write their stacks by faulthandler, and delivers them a moment later."""

    def __init__(self, worker_pool: WorkerPool, queues: Sequence[str]) -> None:
        self._worker_pool = worker_pool
        self._queues = queues
        self._readings: list[_Reading] = []

    @property
    def due_s(self) -> float:
        """When there is something to read; infinite if nothing was requested. Monotonic seconds."""
        return min((reading.at_s for reading in self._readings), default=float("inf"))

    def request(self, worker: str = "", deliver: Deliver | None = None) -> bool:
        """Have a worker that has booted, or all of them, write their stacks.

        Args:
            worker: its id; "" for all.
            deliver: called with the stacks; None logs them.

        Returns:
            False if there is no such worker.
        """
        slots = [
            slot for slot in self._worker_pool.up if slot.booted and slot.pid and worker in ("", slot.worker)
        ]  # fmt: skip
        pending = self._pending()
        for slot in slots:
            if slot.index not in pending:  # else what it has just written serves both
                self._worker_pool.request_stack(slot)
        due = [(slot, slot.worker) for slot in slots]
        now_s = clock.monotonic()
        self._readings.append(_Reading(now_s + STACK_WAIT_S, now_s + _PATIENCE_S, due, deliver or _log_stacks))
        return bool(slots)

    def tick(self) -> None:
        """Deliver what was written, when it is time."""
        now_s = clock.monotonic()
        for reading in [one for one in self._readings if one.at_s <= now_s]:
            self._readings.remove(reading)
            workers = [slot for slot, worker in reading.workers if slot.worker == worker and slot.pid]
            if now_s < reading.give_up_s and any(self._is_missing(slot) for slot in workers):
                self._readings.append(reading._replace(at_s=now_s + _AGAIN_S))
                continue
            pending = self._pending()
            reading.deliver([self._read(slot, clears=slot.index not in pending) for slot in workers])

    def is_reading(self, slot: Slot) -> bool:
        """Whether the stacks of this slot are still to be read."""
        return slot.index in self._pending()

    def _is_missing(self, slot: Slot) -> bool:
        return not self._worker_pool.stacks[slot.index].is_written

    def _pending(self) -> Collection[int]:
        """The slots whose stacks are still to be read."""
        return {slot.index for reading in self._readings for slot, _ in reading.workers}

    def _read(self, slot: Slot, *, clears: bool) -> WorkerStack:
        snapshot = slot.activity.read()
        stack = self._worker_pool.stacks[slot.index]
        found = WorkerStack(
            slot.index, slot.pid, slot.worker, snapshot.activity.name.lower(), trace=stack.read()
        )  # fmt: skip
        if clears:
            stack.clear()
        if snapshot.activity is not Activity.RUNNING:
            return found
        queue, ran_s = self._queues[snapshot.queue_index], round(clock.monotonic() - snapshot.started_s, 3)
        return found._replace(message=snapshot.running, queue=queue, ran_s=ran_s)


def _log_stacks(stacks: Sequence[WorkerStack]) -> None:
    for one in stacks:
        log(_logger, logging.INFO, "worker stack", trace=one.trace, **one.about())
