"""A worker's end, examined: what it means for its messages, what the janitor and the log are told of it."""

from __future__ import annotations

import logging
import signal
from typing import Any, Mapping, Sequence

from bizzmq.logs import log
from bizzmq.workers.breaker import Breaker
from bizzmq.workers.crew import NOT_NEEDED, Crew
from bizzmq.workers.death import CRASH, Exit, burial
from bizzmq.workers.forensics import OomWatch, facts_of
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.scoreboard import Activity, Snapshot
from bizzmq.workers.slot import Slot

_logger = logging.getLogger("bizzmq.supervisor")


class Coroner:
    """Examines dead workers before their slots are vacated."""

    def __init__(self, crew: Crew, janitor: JanitorLink, breaker: Breaker, queues: Sequence[str]) -> None:
        self._crew = crew
        self._janitor = janitor
        self._breaker = breaker
        self._queues = queues
        self._oom = OomWatch()

    def examine(self, slot: Slot, ended: Exit, *, quiet: bool) -> tuple[Snapshot, str]:
        """Have a dead worker's messages settled, and say what happened.

        Args:
            quiet: log no death: for workers that never booted, of which the supervisor speaks once for all.

        Returns:
            The last thing that its record said, and how it ended; "" if it left in order.
        """
        record = slot.record.read()
        orderly = ended.code == 0 and record.activity is Activity.LEFT
        reason = slot.ended_by_us or str(ended)
        facts: dict[str, Any] = {}
        if not orderly:
            by_kernel = self._oom.struck() if ended.signal_number == signal.SIGKILL and not slot.ended_by_us else None
            facts = facts_of(ended, record, self._crew.stacks[slot.index].read(), by_kernel)
        blame = slot.blame and not orderly and not _is_our_signals(ended, slot)
        end = burial(
            slot.worker, record, reason, self._queues, blame=blame,
            error_type=slot.failure, facts=facts,
        )  # fmt: skip
        self._janitor.requeue(end)
        if end.what == CRASH:
            self._breaker.died(record.queue_index, record.running)
        if orderly or slot.ended_by_us == NOT_NEEDED:
            why = record.leave.value if orderly else NOT_NEEDED
            log(_logger, logging.DEBUG, "worker left", why=why, **self._about(slot, record))
        elif not quiet:
            self._log_death(slot, ended, record, reason, facts)
        return record, "" if orderly else reason

    def _about(self, slot: Slot, record: Snapshot) -> dict[str, Any]:
        return {"slot": slot.index, "pid": slot.pid, "worker": slot.worker, "handled": record.handled}

    def _log_death(self, slot: Slot, ended: Exit, record: Snapshot, reason: str, facts: Mapping[str, Any]) -> None:
        about = self._about(slot, record)
        if record.activity is Activity.RUNNING:
            about["message"] = record.running
            about["queue"] = self._queues[record.queue_index]
        about.update((name, value) for name, value in facts.items() if name != "stack")
        is_ours = (slot.ended_by_us and not slot.blame) or _is_our_signals(ended, slot)
        level = logging.INFO if is_ours else logging.ERROR
        log(_logger, level, "worker died", how=reason, trace=str(facts.get("stack", "")), **about)


def _is_our_signals(ended: Exit, slot: Slot) -> bool:
    """Whether a signal of the supervisor's ended the worker, at once or by what a handler of the user's made of it."""
    return ended.signal_number in slot.sent or (ended.code is not None and signal.SIGTERM in slot.sent)
