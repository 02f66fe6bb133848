"""Decides what is done with a schedule that is due: what is published, and when it is due next."""

from __future__ import annotations

import random
from typing import List

from bizzmq.broker.schedules import NEVER, DueSchedule, Fire
from bizzmq.protocol.ids import occurrence_id
from bizzmq.schedules.schedule import ALL, SKIP, Schedule

MISSED_MS = 60_000
"""An occurrence that no pool has fired within this time, or until the next one, is missed."""
MOST = 100
"""Occurrences of one schedule in one plan."""


def due_text(due_ms: int | None) -> str:
    """A due time as the scripts take it; None is never."""
    return NEVER if due_ms is None else str(due_ms)


def plan(due: DueSchedule, schedule: Schedule, now_ms: int) -> List[Fire]:
    """What to do with a schedule that is due, in order.

    Args:
        now_ms: Redis's clock.
    """
    options, due_ms, series_ms = schedule.options, due.due_ms, due.series_ms
    when = options.when
    after_now = when.after(series_ms, now_ms)
    if options.missed == SKIP and _is_missed(schedule, due, now_ms):
        return [Fire(due.name, due.score, due_text(after_now), "missed")]
    if options.missed != ALL:
        return [_fire(schedule, due, due.score, due_ms, after_now)]
    fires: List[Fire] = []
    score, occurrence = due.score, due_ms
    while len(fires) < MOST:
        following = when.after(series_ms, occurrence)
        fires.append(_fire(schedule, due, score, occurrence, following))
        if following is None or following > now_ms:
            break
        score, occurrence = due_text(following).encode(), following
    return fires


def _is_missed(schedule: Schedule, due: DueSchedule, now_ms: int) -> bool:
    following = schedule.options.when.after(due.series_ms, due.due_ms)
    return now_ms - due.due_ms > MISSED_MS or (following is not None and following <= now_ms)


def _fire(schedule: Schedule, due: DueSchedule, score: bytes, due_ms: int, following: int | None) -> Fire:
    delay_ms = schedule.delay_ms + (random.randint(0, schedule.options.jitter_ms) if schedule.options.jitter_ms else 0)
    return Fire(
        due.name, score, due_text(following), schedule.options.overlap, message_id_of(schedule, due_ms),
        schedule.envelope, delay_ms, schedule.priority, schedule.terms.encode(),
    )  # fmt: skip


def message_id_of(schedule: Schedule, due_ms: int) -> str:
    """The id of the message of one occurrence."""
    return occurrence_id(schedule.queue, schedule.name, due_ms)
