"""Requests of the model about pauses and schedules, made to a real broker, and how a queue stores both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict

from bizzmq.broker.broker import Broker
from tests.model.envelopes import enveloped
from tests.model.pauses import RESUMING
from tests.model.queue import Planned, Queue
from tests.model.schedules import state_text
from tests.scripts.containers import LATER_MS, NOW, SOON, Containers
from tests.scripts.moves import QUEUE

NEVER_FIRED = "0 0 - 0 0"
ABOUT = '{"by":"ada"}'


def _resume(broker: Broker, _client: str, name: str, page: str) -> Any:
    done = broker.resume(QUEUE, name, page)
    return done.ended, done.returned, done.following


def _fire(broker: Broker, _janitor: str, fires: Any) -> Any:
    return broker.fire(QUEUE, [fire._replace(envelope=enveloped(fire.message_id)) for fire in fires])


TIMED_CALLS: Dict[str, Callable[..., Any]] = {
    "pause": lambda broker, _, name, duration_ms: broker.pause(QUEUE, name, ABOUT.encode(), duration_ms),
    "resume": _resume,
    "put_schedule": lambda broker, _, name, before, after, next_due, replaces_due: broker.put_schedule(
        QUEUE, name, before, after, next_due, replaces_due=replaces_due
    ),
    "pause_schedule": lambda broker, _, name, record, until: broker.pause_schedule(QUEUE, name, record.encode(), until),
    "resume_schedule": lambda broker, _, name, record, next_due: broker.resume_schedule(
        QUEUE, name, record.encode(), next_due
    ),
    "remove_schedule": lambda broker, _, name, before: broker.remove_schedule(QUEUE, name.encode(), before),
    "due_schedules": lambda broker, _: broker.due_schedules(QUEUE),
    "fire": _fire,
}


def timed(queue: Queue) -> Dict[str, Any]:
    """Pauses and schedules, as `Containers` takes them."""
    schedules = dict(queue.schedules)
    return {
        "suspended": queue.aside,
        "pauses": {name: "{}" if name == RESUMING else ABOUT for name, _ in queue.pauses},
        "schedules": {name: one.definition.decode() for name, one in schedules.items()},
        "next_due": {
            name: SOON if 0 <= one.due - queue.now_ms < LATER_MS else one.due for name, one in schedules.items()
        },
        "fires": {
            name: state_text(one).replace(f" {one.fired_at} ", f" {_time_text(queue, one)} ", 1)
            for name, one in schedules.items()
            if state_text(one) != NEVER_FIRED
        },
    }


def without_unused(found: Containers) -> Containers:
    """Contents without the states of schedules that have not fired: whether they are stored makes no difference."""
    return replace(found, fires={name: text for name, text in found.fires.items() if text != NEVER_FIRED})


def _time_text(queue: Queue, one: Planned) -> str:
    return NOW if abs(one.fired_at - queue.now_ms) < LATER_MS else str(one.fired_at)
