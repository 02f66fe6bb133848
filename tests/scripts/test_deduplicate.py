"""The location that a duplicate keeps: every pair of locations, in a queue and in a dead-letter queue."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Dict, Tuple

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from tests.scripts.containers import Containers, Ids, look, put
from tests.scripts.moves import DEAD, QUEUE
from tests.scripts.table_repairs import deduplicating

# The best one first. A message without a priority is claimed from `waiting`.
WITHOUT_PRIORITY = ("held", "waiting", "prioritized", "delayed", "parked", "orphaned")
WITH_PRIORITY = ("held", "prioritized", "waiting", "delayed", "parked", "orphaned")
PAIRS = [
    *[("0", *pair) for pair in combinations(WITHOUT_PRIORITY, 2)],
    *[("5", *pair) for pair in combinations(WITH_PRIORITY, 2)],
]


def placed(priority: str, places: Dict[str, Ids]) -> Containers:
    """A queue in which w1 is registered and w9 is not. The message m1 has this priority."""
    workers = {"held": "w1", "orphaned": "w9"}
    fields: Dict[str, Any] = {name: ids for name, ids in places.items() if name not in workers}
    if "prioritized" in fields:
        fields["prioritized"] = dict.fromkeys(fields["prioritized"], 5)
    processing = {workers[name]: ids for name, ids in places.items() if name in workers}
    return Containers(workers={"w1": "s1"}, processing=processing, attempts={"m1": f"0 0 0 {priority}"}, **fields)


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_the_better_location_stays_even_if_the_id_is_farther_back_there(
    broker: Broker, redis: Redis, queue: str, pair: Tuple[str, str, str]
) -> None:
    priority, better, worse = pair
    put(redis, queue, placed(priority, {better: ("m0", "m1"), worse: ("m1", "m2")}))

    assert deduplicating("m1")(broker) == 1

    assert look(redis, queue) == placed(priority, {better: ("m0", "m1"), worse: ("m2",)})


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_no_copy_stays_in_a_worse_location(broker: Broker, redis: Redis, queue: str) -> None:
    put(redis, queue, placed("0", {"held": ("m1",), "waiting": ("m1", "m2", "m1")}))

    assert deduplicating("m1")(broker) == 1

    assert look(redis, queue) == placed("0", {"held": ("m1",), "waiting": ("m2",)})


def test_no_copy_stays_in_the_dead_letter_queue(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1",)))
    put(redis, DEAD, Containers(waiting=("m1", "m2", "m1"), parked=("m1", "m1")))

    assert deduplicating("m1")(broker) == 1

    assert look(redis, QUEUE) == Containers(waiting=("m1",))
    assert look(redis, DEAD) == Containers(waiting=("m2",))


def test_a_message_with_locations_in_the_dead_letter_queue_only_keeps_one_there(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(unplaced=("m1",)))
    put(redis, DEAD, Containers(waiting=("m1",), parked=("m1", "m2")))

    assert deduplicating("m1")(broker) == 1

    assert look(redis, QUEUE) == Containers()
    assert look(redis, DEAD) == Containers(waiting=("m1",), parked=("m2",))


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_an_id_without_a_message_keeps_all_its_locations(broker: Broker, redis: Redis, queue: str) -> None:
    """drop_missing removes and counts them: each copy is a missing message."""
    before = Containers(waiting=("f", "f"), parked=("f",), forged=("f",))
    put(redis, queue, before)

    assert deduplicating("f")(broker) == 0

    assert look(redis, queue) == before


def test_an_id_that_is_given_twice_keeps_a_location(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1", "m2", "m1")))

    assert deduplicating("m1", "m1")(broker) == 1

    assert look(redis, QUEUE) == Containers(waiting=("m1", "m2"))


def test_a_message_in_both_queues_keeps_one_location_in_its_own(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1",), parked=("m1", "m2")))
    put(redis, DEAD, Containers(waiting=("m1",)))

    assert deduplicating("m1")(broker) == 1

    assert look(redis, QUEUE) == Containers(waiting=("m1",), parked=("m2",))
    assert look(redis, DEAD) == Containers()
