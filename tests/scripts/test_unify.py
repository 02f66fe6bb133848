"""Of two places, which one an id keeps: every pair of them, in a queue and in a dead-letter queue."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Dict, Tuple

import pytest
from redis import Redis

from bizzmq.broker import Broker
from tests.scripts.containers import Containers, Ids, look, put
from tests.scripts.moves import DEAD, QUEUE
from tests.scripts.table_repairs import unifying

# The best one first. A message without a priority is claimed from `waiting`.
WITHOUT_PRIORITY = ("held", "waiting", "prioritized", "delayed", "parked", "orphaned")
WITH_PRIORITY = ("held", "prioritized", "waiting", "delayed", "parked", "orphaned")
PAIRS = [
    *[("0", *pair) for pair in combinations(WITHOUT_PRIORITY, 2)],
    *[("5", *pair) for pair in combinations(WITH_PRIORITY, 2)],
]


def standing(priority: str, places: Dict[str, Ids]) -> Containers:
    """A queue in which w1 is registered and w9 is not; the message m1 has that priority."""
    workers = {"held": "w1", "orphaned": "w9"}
    fields: Dict[str, Any] = {name: ids for name, ids in places.items() if name not in workers}
    if "prioritized" in fields:
        fields["prioritized"] = dict.fromkeys(fields["prioritized"], 5)
    processing = {workers[name]: ids for name, ids in places.items() if name in workers}
    return Containers(workers={"w1": "s1"}, processing=processing, attempts={"m1": f"0 0 0 {priority}"}, **fields)


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_the_better_place_stays_though_it_is_farther_back_there(
    broker: Broker, redis: Redis, queue: str, pair: Tuple[str, str, str]
) -> None:
    priority, better, worse = pair
    put(redis, queue, standing(priority, {better: ("m0", "m1"), worse: ("m1", "m2")}))

    assert unifying("m1")(broker) == 1

    assert look(redis, queue) == standing(priority, {better: ("m0", "m1"), worse: ("m2",)})


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_no_copy_is_left_in_a_worse_place(broker: Broker, redis: Redis, queue: str) -> None:
    put(redis, queue, standing("0", {"held": ("m1",), "waiting": ("m1", "m2", "m1")}))

    assert unifying("m1")(broker) == 1

    assert look(redis, queue) == standing("0", {"held": ("m1",), "waiting": ("m2",)})


def test_no_copy_is_left_in_the_dead_letter_queue(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1",)))
    put(redis, DEAD, Containers(waiting=("m1", "m2", "m1"), parked=("m1", "m1")))

    assert unifying("m1")(broker) == 1

    assert look(redis, QUEUE) == Containers(waiting=("m1",))
    assert look(redis, DEAD) == Containers(waiting=("m2",))


def test_what_stands_in_the_dead_letter_queue_only_keeps_one_place_there(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(stray=("m1",)))
    put(redis, DEAD, Containers(waiting=("m1",), parked=("m1", "m2")))

    assert unifying("m1")(broker) == 1

    assert look(redis, QUEUE) == Containers()
    assert look(redis, DEAD) == Containers(waiting=("m1",), parked=("m2",))


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_what_is_stored_nowhere_keeps_all_its_places(broker: Broker, redis: Redis, queue: str) -> None:
    """They are dropped, and counted: each of them is a message that is missing."""
    before = Containers(waiting=("f", "f"), parked=("f",), forged=("f",))
    put(redis, queue, before)

    assert unifying("f")(broker) == 0

    assert look(redis, queue) == before


def test_an_id_that_is_named_twice_keeps_a_place(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1", "m2", "m1")))

    assert unifying("m1", "m1")(broker) == 1

    assert look(redis, QUEUE) == Containers(waiting=("m1", "m2"))


def test_what_stands_in_both_queues_keeps_one_place_in_its_own(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1",), parked=("m1", "m2")))
    put(redis, DEAD, Containers(waiting=("m1",)))

    assert unifying("m1")(broker) == 1

    assert look(redis, QUEUE) == Containers(waiting=("m1",), parked=("m2",))
    assert look(redis, DEAD) == Containers()
