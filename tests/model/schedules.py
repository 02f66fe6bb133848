"""The scripts that change schedules and fire them, as functions from a queue to an outcome."""

from __future__ import annotations

import json
import math
from typing import Any, Callable, Dict, List, Optional, Sequence

from bizzmq.broker.schedules import NEVER, DuePage, DueSchedule, Fire, Fired, state_of
from tests.model.beside import meeting, throttled
from tests.model.queue import Entry, Outcome, Planned, Queue, changed, totals

AGAIN_MS = 1000.5


def put_schedule(
    queue: Queue, _operator: str, name: str, before: bytes, after: bytes, next_due: str, replaces_due: bool
) -> Outcome:
    known = dict(queue.schedules).get(name)
    current = known.definition if known else b""
    if current not in (before, after):
        return Outcome(queue, False)
    if known is None:
        return Outcome(_with(queue, name, Planned(after, float(next_due))), True)
    if replaces_due and not known.pause and current != after:
        known = known._replace(due=float(next_due))
    return Outcome(_with(queue, name, known._replace(definition=after)), True)


def pause_schedule(queue: Queue, _operator: str, name: str, record: str, until: str) -> Outcome:
    known = dict(queue.schedules).get(name)
    if known is None:
        return Outcome(queue, False)
    return Outcome(_with(queue, name, known._replace(pause=record, due=float(until))), True)


def resume_schedule(queue: Queue, _client: str, name: str, record: str, next_due: str) -> Outcome:
    known = dict(queue.schedules).get(name)
    if known is None:
        return Outcome(queue, None)
    if not known.pause or (record and known.pause != record):
        return Outcome(queue, False)
    return Outcome(_with(queue, name, known._replace(pause="", due=float(next_due))), True)


def remove_schedule(queue: Queue, _operator: str, name: str, before: bytes) -> Outcome:
    known = dict(queue.schedules).get(name)
    if known is None:
        return Outcome(queue, False)
    if known.definition != before:
        return Outcome(queue, None)
    return Outcome(_with(queue, name, None), True)


def _with(queue: Queue, name: str, planned: Optional[Planned]) -> Queue:
    return queue._replace(schedules=changed(queue.schedules, {name: planned}))


def due_schedules(queue: Queue, _janitor: str) -> Outcome:
    rows = sorted(queue.schedules, key=lambda row: (row[1].due, row[0]))
    due = [
        DueSchedule(name.encode(), _score_text(one.due).encode(), one.definition, state_of(state_text(one).encode()))
        for name, one in rows
        if one.due <= queue.now_ms
    ]
    later = [one.due for _, one in rows if queue.now_ms < one.due < math.inf]
    return Outcome(queue, DuePage(queue.now_ms, int(later[0]) if later else None, due))


def _score_text(due: float) -> str:
    return str(int(due)) if due.is_integer() else repr(due)


def state_text(one: Planned) -> str:
    """The state of a schedule as it is stored."""
    text = f"{one.fired_due} {one.fired_at} {one.last_id or '-'} {one.fired} {one.skipped}"
    return f"{text}\t{one.pause}" if one.pause else text


def fire(queue: Queue, _janitor: str, fires: Sequence[Fire]) -> Outcome:
    outcomes: List[Fired] = []
    counted = {"published": 0, "duplicates": 0}
    for one in fires:
        before = len(queue.places())
        queue, outcome = _fired(queue, one)
        outcomes.append(outcome)
        counted["published"] += len(queue.places()) - before
        counted["duplicates"] += outcome == Fired.DUPLICATE
    return Outcome(queue, outcomes, totals(**counted), wake=counted["published"] > 0)


def _fired(queue: Queue, one: Fire) -> tuple[Queue, Fired]:
    name = one.name.decode()
    known = dict(queue.schedules).get(name)
    if known is None or known.due != float(one.score):
        return queue, Fired.ELSEWHERE
    is_running = one.action in ("skip", "queue-one") and queue.is_own(known.last_id)
    if is_running and one.action == "queue-one":
        waiting = int(one.score) if one.score.isdigit() else known.fired_due
        return _with(queue, name, known._replace(due=queue.now_ms + AGAIN_MS, fired_due=waiting)), Fired.WAITS
    terms = json.loads(one.terms or b"{}")
    known = known._replace(due=math.inf if one.next_due == NEVER else float(one.next_due))
    if is_running or one.action == "missed" or _is_duplicate(queue, terms):
        why = Fired.SKIPPED if is_running or one.action == "missed" else Fired.DUPLICATE
        return _with(queue, name, known._replace(skipped=known.skipped + 1)), why
    known = known._replace(
        fired_due=round(float(one.score)), fired_at=queue.now_ms, last_id=one.message_id, fired=known.fired + 1
    )
    return _with(_published(queue, one, terms), name, known), Fired.FIRED


def _is_duplicate(queue: Queue, terms: Dict[str, Any]) -> bool:
    key = terms.get("unique", "")
    if "for_ms" in terms:
        return dict(queue.throttled).get(key, ("", 0))[1] > queue.now_ms
    return meeting(queue, dict(queue.unique).get(key, ""), replaces=False) != ""


def _published(queue: Queue, one: Fire, terms: Dict[str, Any]) -> Queue:
    if queue.is_own(one.message_id):
        return queue
    key = terms.get("unique", "")
    if one.priority:
        queue = queue.with_counts({one.message_id: f"0 0 0 {one.priority}"})
    entry = Entry(expires="later" if terms.get("expires_ms") else "")
    if key and "for_ms" in terms:
        queue = throttled(queue, {key: one.message_id}, terms["for_ms"])
    elif key:
        owner = dict(queue.unique).get(key, "")
        if owner and queue.is_own(owner):  # it has expired
            queue = queue.with_entry(owner, queue.entry(owner)._replace(is_superseded=True))
        queue = queue._replace(unique=changed(queue.unique, {key: one.message_id}))
        entry = entry._replace(key=key, until_started=terms["until"] == "started")
    if entry != Entry():
        queue = queue.with_entry(one.message_id, entry)
    if one.delay_ms:
        return queue._replace(delayed=(*queue.delayed, one.message_id))
    return queue.enqueued([one.message_id])


SCHEDULES: Dict[str, Callable[..., Outcome]] = {
    "put_schedule": put_schedule,
    "pause_schedule": pause_schedule,
    "resume_schedule": resume_schedule,
    "remove_schedule": remove_schedule,
    "due_schedules": due_schedules,
    "fire": fire,
}
