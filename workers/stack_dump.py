"""SIGUSR1: what is everybody doing? Each worker's Python stack goes to the log, with the message that it runs."""

from __future__ import annotations

import logging
from typing import Sequence

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers.crew import WRITING_S, Crew
from bizzmq.workers.scoreboard import Activity
from bizzmq.workers.slot import Slot

_logger = logging.getLogger("bizzmq.supervisor")


class StackDump:
    """Asks the workers' faulthandlers, and logs what they have written a moment later.

    Attributes:
        due_s: when there is something to read; monotonic seconds, infinite if nothing was asked.
    """

    def __init__(self, crew: Crew, queues: Sequence[str]) -> None:
        self._crew = crew
        self._queues = queues
        self._asked: list[tuple[Slot, str]] = []
        self.due_s = float("inf")

    def ask(self) -> None:
        """Have every worker that has booted write its stacks."""
        for slot in self._crew.up:
            if slot.booted and slot.pid:
                self._crew.ask_for_stack(slot)
                self._asked.append((slot, slot.worker))
        self.due_s = clock.monotonic() + WRITING_S

    def tick(self) -> None:
        """Log what was written, if it is time."""
        if clock.monotonic() < self.due_s:
            return
        for slot, worker in self._asked:
            if slot.worker != worker:
                continue
            record = slot.record.read()
            about = {"slot": slot.index, "pid": slot.pid, "state": record.activity.name.lower()}
            if record.activity is Activity.RUNNING:
                about["message"] = record.running
                about["queue"] = self._queues[record.queue_index]
                about["ran_s"] = round(clock.monotonic() - record.started_s, 3)
            stack = self._crew.stacks[slot.index]
            log(_logger, logging.INFO, "worker stack", trace=stack.read(), **about)
            stack.clear()
        self._asked, self.due_s = [], float("inf")
