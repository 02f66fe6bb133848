"""Give back what a busy worker has claimed and not started, so that it does not wait behind a long message.

Claims adapt to the measured time of handlers, so this happens only where very different handlers share a queue.

The worker must not start a message that was given back: another worker starts it, too. So it takes two checks. At the
first one the supervisor writes a mark into the worker's activity: nothing more of this claim may be started. At the
second one, some milliseconds later, the same message must still be running. The worker notes the end of a message
before it reads the mark, and the supervisor writes the mark before it reads the note: one of them sees the other. (Both
are plain memory writes, which other processors see within a microsecond.) See docs/internals/decisions/0043-recall.md.
"""

from __future__ import annotations

import math
from typing import Dict, Sequence, Tuple

from bizzmq.utils import clock
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.supervisor.children.janitor_process import JanitorProcess
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import WorkerPool

LONG_S = 0.025
"""A message that runs for `n` seconds is a long one for those behind it. One of several in a claim should take at most
half of what a claim may hold."""
_SURE_S = 0.003
"""The time between the two checks: thousands of times what a write to memory may take to be seen."""
_CALM_S = 1.0
"""Checks end `n` seconds after the last worker held more than one message. The next worker that does reports it."""


class PrefetchReleaser:
    """Checks workers that hold more than they run.

    It checks only while there are some, or were a moment ago: it costs nothing in an idle pool, or one whose handlers
    are long.
    """

    def __init__(
        self, worker_pool: WorkerPool, janitor: JanitorProcess, scoreboard: Scoreboard, queues: Sequence[str]
    ) -> None:
        self._worker_pool = worker_pool
        self._janitor = janitor
        self._scoreboard = scoreboard
        self._queues = queues
        self._marked: Dict[int, Tuple[str, float, float]] = {}
        self._requested: Dict[int, Tuple[str, float]] = {}
        self._until_s = 0.0
        self._due_s = math.inf

    def wake(self) -> None:
        """Begin to check: a worker has reported that it holds more than one message."""
        self._until_s = clock.monotonic() + _CALM_S
        self._scoreboard.set_watched(watched=True)

    def due_s(self) -> float:
        """When the next check is due; infinite while no worker holds messages back. Monotonic seconds."""
        return self._due_s if self._until_s else math.inf

    def tick(self) -> None:
        """Check the workers, if there may be something to give back."""
        if not self._until_s:
            return
        now_s = clock.monotonic()
        self._due_s = now_s + LONG_S  # what begins after this check is not a long one before that
        for slot in self._worker_pool.up:
            since_s = slot.activity.holds_back_s()
            if not since_s or self._requested.get(slot.index) == (slot.worker, since_s):
                self._marked.pop(slot.index, None)
                continue
            self._until_s = now_s + _CALM_S
            if now_s - since_s < LONG_S:
                self._marked.pop(slot.index, None)
                self._due_s = min(self._due_s, since_s + LONG_S)
            elif slot.working and not slot.ended_by_us:
                self._check(slot, now_s)
            else:
                self._marked.pop(slot.index, None)
        if self._marked:
            self._due_s = now_s + _SURE_S
        if now_s >= self._until_s:
            if self._scoreboard.is_watched:
                self._scoreboard.set_watched(watched=False)  # and check once more: a worker may have read it before
            else:
                self._until_s = 0.0

    def _check(self, slot: Slot, now_s: float) -> None:
        """Mark a worker that runs a long message; at the next check, have the rest of its claim given back."""
        snapshot = slot.activity.read()
        run = (slot.worker, snapshot.started_s)
        if snapshot.activity is not Activity.RUNNING or not snapshot.rest:
            self._marked.pop(slot.index, None)
            return
        worker, started_s, marked_s = self._marked.get(slot.index, ("", 0.0, 0.0))
        if (worker, started_s) != run:
            slot.activity.request_release()
            self._marked[slot.index] = (*run, now_s)
        elif now_s - marked_s >= _SURE_S:
            del self._marked[slot.index]
            self._requested[slot.index] = run
            self._janitor.release_prefetched(
                slot.worker, self._queues[snapshot.queue_index], snapshot.running, snapshot.delivery
            )
