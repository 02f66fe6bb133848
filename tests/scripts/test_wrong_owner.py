"""A worker or supervisor without a lease changes no key."""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq.admin import stats as queue_stats
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.errors import LeaseLostError, QueueNotFoundError
from bizzmq.protocol.results import KeptResult
from tests.scripts.containers import NO_QUEUE, Containers, everything, put
from tests.scripts.moves import QUEUE
from tests.scripts.table_schedules import occurrence

Call = Callable[[Broker], Any]

# w1 was reaped, and w2 has its message.
REAPED = Containers(
    waiting=("m2",), delayed=("m3",), due=("m4",), attempts={"m1": "0 0 1 0"}, workers={"w2": "s2"},
    supervisors={"s2": "7"}, processing={"w2": ("m1",)}, wake=True, stats={"published": 4},
)  # fmt: skip

FENCED: Dict[str, Call] = {
    "claim": lambda broker: broker.claim(QUEUE, "w1", 5),
    "claim with an ack": lambda broker: broker.claim(QUEUE, "w1", 5, ["m1"]),
    "retry": lambda broker: broker.retry(QUEUE, "w1", "m1", "0 0 1 0", "1 0 1 0", 0),
    "dead_letter": lambda broker: broker.dead_letter(QUEUE, "w1", "m1", "0 0 1 0", b"{}"),
    "discard": lambda broker: broker.discard(QUEUE, "w1", "m1", "0 0 1 0"),
    "finish": lambda broker: broker.finish(QUEUE, "w1", [b"m1"], {b"m1": KeptResult(b"1000", b"text")}),
    "release": lambda broker: broker.release(QUEUE, "w1", 1, ["m1"]),
}
REFUSED: Dict[str, Call] = {
    "requeue": lambda broker: broker.requeue(QUEUE, "w1", DeadWorker("crash", running="m1")),
    "release_prefetched": lambda broker: broker.release_prefetched(QUEUE, "w1", "m1", 2),
    "heartbeat": lambda broker: broker.heartbeat(QUEUE, "s1").counter,
    "report": lambda broker: broker.report(QUEUE, "s1", b"{}", 1000),
    "ask": lambda broker: broker.ask(QUEUE, "r1", "s1", b"{}"),
    "take_requests": lambda broker: broker.take_requests(QUEUE, "s1", ["r1"]),
    "unregister": lambda broker: broker.unregister(QUEUE, "s1"),
    "requeue of a live supervisor's worker": lambda broker: broker.requeue(
        QUEUE, "w2", DeadWorker("silent", supervisor="s2", counter="6")
    ),
    "unregister of a live supervisor": lambda broker: broker.unregister(QUEUE, "s2", "6"),
}
UNKNOWN: Dict[str, Call] = {
    "publish": lambda broker: broker.publish(QUEUE, "pub", 1, 0, 0, ["m1", b"1\n1"]),
    "fire": lambda broker: broker.fire(QUEUE, [occurrence()]),
    "put_schedule": lambda broker: broker.put_schedule(QUEUE, "s", b"", b"{}\n1\n1", "1000", replaces_due=True),
    "register": lambda broker: broker.register(QUEUE, "s1", "w1"),
    "replay": lambda broker: broker.replay(QUEUE, "m1", 0),
    "options": lambda broker: broker.options(QUEUE),
    "stats": lambda broker: queue_stats.stats(broker, QUEUE),
}


@pytest.mark.parametrize("name", FENCED)
def test_a_worker_without_a_lease_changes_nothing(broker: Broker, redis: Redis, name: str) -> None:
    put(redis, QUEUE, REAPED)
    before = everything(redis)

    with pytest.raises(LeaseLostError) as lost:
        FENCED[name](broker)

    assert (lost.value.queue, lost.value.worker_id) == (QUEUE, "w1")
    assert everything(redis) == before


@pytest.mark.parametrize("name", REFUSED)
def test_an_unregistered_worker_or_a_live_supervisor_is_left_alone(broker: Broker, redis: Redis, name: str) -> None:
    put(redis, QUEUE, REAPED)
    before = everything(redis)

    assert not REFUSED[name](broker)

    assert everything(redis) == before


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_queue_that_was_never_created_is_not_created_by_accident(broker: Broker, redis: Redis, name: str) -> None:
    put(redis, "q_dlq", Containers(waiting=("m1",)))
    put(redis, QUEUE, NO_QUEUE)
    before = everything(redis)

    with pytest.raises(QueueNotFoundError) as missing:
        UNKNOWN[name](broker)

    assert missing.value.queue == QUEUE
    assert everything(redis) == before


def test_the_registration_ends_in_the_step_that_takes_the_messages(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(workers={"w1": "s1", "w2": "s1"}, processing={"w1": ("m1",)}))

    broker.requeue(QUEUE, "w1", DeadWorker("silent"))

    with pytest.raises(LeaseLostError):
        broker.claim(QUEUE, "w1", 1, ["m1"])
    assert [entry[0] for entry in broker.claim(QUEUE, "w2", 1).entries] == [b"m1"]
