"""The model's requests made to a real broker, and its queues as what a real server holds."""

from __future__ import annotations

from typing import Any, Callable, Dict

from redis import Redis

from bizzmq import purging
from bizzmq.broker import Broker, Death
from bizzmq.errors import LeaseLostError
from bizzmq.testing.layout import Keys
from tests.model.endings import CRASH_LIMIT, Fate
from tests.model.queue import GAP, LEASE_LOST, Counts, Outcome, Queue, Request
from tests.scripts.containers import LATER_MS, NO_QUEUE, Containers, envelope, look, put
from tests.scripts.moves import DEAD, QUEUE
from tests.support.ahead import publish_behind

PUBLISHER = "p"


def call(broker: Broker, request: Request) -> Any:
    """Make the request; the reply as the model gives it."""
    try:
        return _CALLS[request.script](broker, request.who, *request.args)
    except LeaseLostError:
        return LEASE_LOST


def _publish(broker: Broker, publisher: str, numbers: Any, later: bool, priority: int, ids: Any) -> Any:
    entries = [part for name in ids for part in (name, envelope(name))]
    number, before = numbers
    if not before:
        return broker.publish(QUEUE, publisher, number, LATER_MS if later else 0, priority, entries)
    done = publish_behind(broker, QUEUE, publisher, numbers, entries, LATER_MS if later else 0, priority)
    return None if done else GAP


def _claim(broker: Broker, worker: str, want: int, finished: Any) -> Any:
    claimed = broker.claim(QUEUE, worker, want, finished)
    for message_id, body, _ in claimed.entries:
        assert body == envelope(message_id.decode()), f"{message_id!r} has the envelope {body!r}"
    entries = tuple((name.decode(), (counts or b"0 0 0 0").decode()) for name, _, counts in claimed.entries)
    return entries, claimed.due_s is not None


def _retry(broker: Broker, worker: str, message_id: str, seen: str, counted: str, later: bool) -> bool:
    return broker.retry(QUEUE, worker, message_id, seen, counted, LATER_MS if later else 0)


def _requeue(broker: Broker, worker: str, fate: Fate) -> Any:
    death = Death(
        fate.what, fate.running, fate.last_finished, CRASH_LIMIT, b"{}", fate.outcome, fate.counted,
        LATER_MS if fate.later else 0, fate.supervisor, str(fate.counter or ""),
    )  # fmt: skip
    done = broker.requeue(QUEUE, worker, death)
    return done and (done.requeued, done.acked, done.quarantined, done.crashes)


def _replay(broker: Broker, _operator: str, message_id: str, priority: int) -> bool:
    return bool(broker.run("replay", _replay_keys(broker), message_id, priority))


def _replay_keys(broker: Broker) -> list[str]:
    k, dead = broker.keys(QUEUE), broker.keys(DEAD)
    places = [dead.waiting, dead.prioritized, dead.delayed, dead.parked, dead.messages, dead.attempts]
    return [*places, k.meta, k.waiting, k.prioritized, k.messages, k.attempts, k.wake, k.stats]


_CALLS: Dict[str, Callable[..., Any]] = {
    "publish": _publish,
    "claim": _claim,
    "retry": _retry,
    "dead_letter": lambda broker, worker, name, seen: broker.dead_letter(QUEUE, worker, name, seen, b"{}"),
    "discard": lambda broker, worker, name, seen: broker.discard(QUEUE, worker, name, seen),
    "release": lambda broker, worker, number, started, ids: broker.release(QUEUE, worker, number, ids, started=started),
    "recall": lambda broker, worker, running, delivery: broker.recall(QUEUE, worker, running, delivery),
    "requeue": _requeue,
    "register": lambda broker, supervisor, counter, worker: broker.register(QUEUE, supervisor, counter, worker),
    "beat": lambda broker, supervisor: broker.beat(QUEUE, supervisor),
    "evict": lambda broker, supervisor, counter: broker.evict(QUEUE, supervisor, str(counter or "")),
    "replay": _replay,
    "purge": lambda broker, _, limit: purging.purge(broker, QUEUE, limit),
}


def establish(redis: Redis, queue: Queue) -> None:
    """Empty the server, and make it hold this queue and nothing else. No marker, no totals."""
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.flushall()
        put(pipeline, QUEUE, containers(queue))
        put(pipeline, DEAD, dead_letters(queue))
        if queue.request:
            pipeline.set(f"{Keys(QUEUE).prefix}publisher:{PUBLISHER}", queue.request)
        pipeline.execute()


def containers(queue: Queue, **others: Any) -> Containers:
    return Containers(
        waiting=queue.waiting,
        prioritized={name: Counts.of(queue.counts(name)).priority for name in queue.prioritized},
        due=queue.due,
        delayed=queue.delayed,
        processing=dict(queue.processing),
        attempts=dict(queue.attempts),
        workers=dict(queue.workers),
        supervisors={name: str(counter) for name, counter in queue.supervisors},
        releases={name: str(number) for name, number in queue.releases},
        **others,
    )


def dead_letters(queue: Queue, *, wake: bool = False) -> Containers:
    """The dead-letter queue comes into being with the first dead letter."""
    return Containers(waiting=queue.dead, wake=wake) if queue.dead else NO_QUEUE


def differences(redis: Redis, outcome: Outcome) -> list[str]:
    """Where the server does not hold what the model says, after a request to an established queue."""
    expected = containers(outcome.queue, stats=dict(outcome.stats), wake=outcome.wake)
    pairs = [(expected, look(redis, QUEUE)), (dead_letters(outcome.queue, wake=outcome.dead_wake), look(redis, DEAD))]
    request = int(redis.get(f"{Keys(QUEUE).prefix}publisher:{PUBLISHER}") or 0)
    found = [] if request == outcome.queue.request else [f"publisher: {request}, not {outcome.queue.request}"]
    for wanted, real in pairs:
        for name, value in vars(wanted).items():
            if vars(real)[name] != value:
                found.append(f"{name}: {vars(real)[name]}, not {value}")
    return found
