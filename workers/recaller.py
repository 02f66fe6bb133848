"""What a busy worker has claimed and not started is given back, so that it waits behind no long message.

Claims adapt to measured handler time, so this happens only when handlers of very different length share a queue.

Giving back must not race with the worker, which would start what others start, too. So it takes two looks: at the
first one the supervisor writes into the worker's record that nothing more of this claim may be started; at the second
one, some milliseconds later, the same message must still be running. The worker notes the end of a message before it
looks at that word, and the supervisor writes the word before it looks at the note: one of them sees the other. (Both
are plain memory writes, which other processors see within a microsecond.) See docs/adr/0043-recall.md.
"""

from __future__ import annotations

import math
from typing import Dict, Sequence, Tuple

from bizzmq import clock
from bizzmq.workers.crew import Crew
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.scoreboard import Activity, Scoreboard
from bizzmq.workers.slot import Slot

LONG_S = 0.025
"""A message that runs for so long is a long one for those behind it. One of several in a claim is meant to take at most
half of what a claim may hold."""
_SURE_S = 0.003
"""Between the two looks. Thousands of times what a write to memory may take to be seen."""
_CALM_S = 1.0
"""Looks end so long after anybody held more than one message; the next who does says so."""


class Recaller:
    """Looks at the records of workers that hold more than they run.

    It looks only while some do, or did a moment ago: an idle pool, and one whose handlers are long, costs nothing.
    """

    def __init__(self, crew: Crew, janitor: JanitorLink, scoreboard: Scoreboard, queues: Sequence[str]) -> None:
        self._crew = crew
        self._janitor = janitor
        self._scoreboard = scoreboard
        self._queues = queues
        self._marked: Dict[int, Tuple[str, float, float]] = {}
        self._asked: Dict[int, Tuple[str, float]] = {}
        self._until_s = 0.0
        self._due_s = math.inf

    def nudged(self) -> None:
        """A worker holds more than one message, and has found nobody looking."""
        self._until_s = clock.monotonic() + _CALM_S
        self._scoreboard.set_watched(watched=True)

    def due_s(self) -> float:
        """When the next look is due; infinite while nobody holds anything back. Monotonic seconds."""
        return self._due_s if self._until_s else math.inf

    def tick(self) -> None:
        """Look, if there may be something to see."""
        if not self._until_s:
            return
        now_s = clock.monotonic()
        self._due_s = now_s + LONG_S  # what begins after this look is not a long one before that
        for slot in self._crew.up:
            since_s = slot.record.holds_back_s()
            if not since_s or self._asked.get(slot.index) == (slot.worker, since_s):
                self._marked.pop(slot.index, None)
                continue
            self._until_s = now_s + _CALM_S
            if now_s - since_s < LONG_S:
                self._marked.pop(slot.index, None)
                self._due_s = min(self._due_s, since_s + LONG_S)
            elif slot.working and not slot.ended_by_us:
                self._look(slot, now_s)
            else:
                self._marked.pop(slot.index, None)
        if self._marked:
            self._due_s = now_s + _SURE_S
        if now_s >= self._until_s:
            if self._scoreboard.is_watched:
                self._scoreboard.set_watched(watched=False)  # and one more look, for whoever has read the word before
            else:
                self._until_s = 0.0

    def _look(self, slot: Slot, now_s: float) -> None:
        """At a worker whose message is a long one: mark it, and ask for the rest when it is sure to stay there."""
        record = slot.record.read()
        run = (slot.worker, record.started_s)
        if record.activity is not Activity.RUNNING or not record.rest:
            self._marked.pop(slot.index, None)
            return
        worker, started_s, marked_s = self._marked.get(slot.index, ("", 0.0, 0.0))
        if (worker, started_s) != run:
            slot.record.recall()
            self._marked[slot.index] = (*run, now_s)
        elif now_s - marked_s >= _SURE_S:
            del self._marked[slot.index]
            self._asked[slot.index] = run
            self._janitor.recall(slot.worker, self._queues[record.queue_index], record.running, record.delivery)
