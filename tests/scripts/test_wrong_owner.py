"""Who has no lease changes nothing: not a single key."""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq import census
from bizzmq.broker import Broker, Death
from bizzmq.errors import LeaseLostError, QueueNotFoundError
from tests.scripts.containers import NO_QUEUE, Containers, everything, put
from tests.scripts.moves import QUEUE

Call = Callable[[Broker], Any]

# w1 was reaped; its message went to w2.
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
    "release": lambda broker: broker.release(QUEUE, "w1", 1, ["m1"]),
}
REFUSED: Dict[str, Call] = {
    "requeue": lambda broker: broker.requeue(QUEUE, "w1", Death("crash", running="m1")),
    "recall": lambda broker: broker.recall(QUEUE, "w1", "m1", 2),
    "beat": lambda broker: broker.beat(QUEUE, "s1"),
    "evict": lambda broker: broker.evict(QUEUE, "s1"),
    "requeue of a living one": lambda broker: broker.requeue(
        QUEUE, "w2", Death("silent", supervisor="s2", counter="6")
    ),
    "evict of a living one": lambda broker: broker.evict(QUEUE, "s2", "6"),
}
UNKNOWN: Dict[str, Call] = {
    "publish": lambda broker: broker.publish(QUEUE, "pub", 1, 0, 0, ["m1", b"1\n1"]),
    "register": lambda broker: broker.register(QUEUE, "s1", 7, "w1"),
    "replay": lambda broker: census.replay(broker, QUEUE, census.DeadLetter("m1", "waiting", None, b"")),
    "options": lambda broker: broker.options(QUEUE),
    "stats": lambda broker: census.stats(broker, QUEUE),
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
def test_what_is_not_registered_or_lives_is_left_alone(broker: Broker, redis: Redis, name: str) -> None:
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

    broker.requeue(QUEUE, "w1", Death("silent"))

    with pytest.raises(LeaseLostError):
        broker.claim(QUEUE, "w1", 1, ["m1"])
    assert [entry[0] for entry in broker.claim(QUEUE, "w2", 1).entries] == [b"m1"]
