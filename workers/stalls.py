"""Workers that make no progress in their first message, where the fork may be why: a library waits for its threads."""

from __future__ import annotations

import logging

import psutil

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers.crew import Crew
from bizzmq.workers.scoreboard import Activity
from bizzmq.workers.slot import Slot

_logger = logging.getLogger("bizzmq.supervisor")
AFTER_S = 5.0
"""A first message that has used no CPU time for so long is named."""
_LOOK_S = 1.0
_NOTHING_S = 0.05
NOTE = "makes no progress in its first message"


class Stalls:
    """Looks once a second at workers that were forked from a process with threads, until they have run a message."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._look_at_s = 0.0
        self._seen: dict[int, tuple[str, float, float]] = {}

    def tick(self) -> None:
        """Look, if it is time."""
        template, now_s = self._crew.template, clock.monotonic()
        if template is None or not template.has_threads or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_S
        for slot in self._crew.up:
            record = slot.record.read()
            if record.activity is Activity.RUNNING and not record.handled and not record.failed:
                self._look(slot, record.running, now_s)
            else:
                slot.note = ""
                self._seen.pop(slot.index, None)

    def _look(self, slot: Slot, message: str, now_s: float) -> None:
        if slot.note:
            return
        try:
            times = psutil.Process(slot.pid).cpu_times()
        except psutil.Error:
            return  # it has just ended
        used_s = times.user + times.system
        worker, since_s, before_s = self._seen.get(slot.index, ("", now_s, used_s))
        if worker != slot.worker or used_s - before_s > _NOTHING_S:
            self._seen[slot.index] = slot.worker, now_s, used_s
        elif now_s - since_s >= AFTER_S:
            slot.note = NOTE
            log(_logger, logging.WARNING, f"a worker {NOTE}: if it does not just wait, a library may miss its threads",
                slot=slot.index, pid=slot.pid, message=message, idle_s=round(now_s - since_s, 1),
                try_="--preload off; SIGUSR1 to the pool shows where it is")  # fmt: skip
