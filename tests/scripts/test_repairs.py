"""A repair is harmless if it comes late, names the wrong worker, or meets new workers."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator

import pytest
from redis import Redis

from bizzmq.audit import repair
from bizzmq.audit.findings import Kind
from bizzmq.audit.locations import OWN
from bizzmq.audit.scan import QueueScan
from bizzmq.broker.broker import Broker
from bizzmq.errors import BrokerUnavailableError
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import Containers, everything, look, put
from tests.scripts.moves import DEAD, QUEUE, claim_ids, held
from tests.scripts.table_repairs import (
    deduplicating,
    finding,
    locating,
    locations,
    place,
    requeueing_unplaced,
    requeueing_unregistered,
)

Call = Callable[[Broker], Any]


@pytest.mark.parametrize("name", ["locate", "requeue_unplaced", "deduplicate"])
@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_the_list_of_a_registered_worker_must_be_given(broker: Broker, redis: Redis, name: str, queue: str) -> None:
    put(redis, QUEUE, Containers(unplaced=("m1",)))
    redis.hset(broker.keys(queue).workers, "w1", "s1")
    before = everything(redis)

    assert getattr(broker, name)(QUEUE, [], [b"m1"]) is None
    assert everything(redis) == before


def test_the_list_of_a_new_worker_is_read_by_the_next_try(
    broker: Broker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(redis, QUEUE, held("m1"))
    scan = QueueScan(broker, QUEUE)
    lists, calls = scan.lists, []

    def none_at_first() -> list[bytes]:
        calls.append(1)
        return lists() if len(calls) > 1 else []

    monkeypatch.setattr(scan, "lists", none_at_first)

    assert scan.locate([b"m1"]) == [locations("m1", place(OWN, "processing:w1"))]
    assert len(calls) == 2


def test_new_workers_at_every_try_are_an_outage(broker: Broker, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    put(redis, QUEUE, held("m1"))
    scan = QueueScan(broker, QUEUE)
    monkeypatch.setattr(scan, "lists", list)

    with pytest.raises(BrokerUnavailableError):
        scan.locate([b"m1"])


def test_a_late_requeue_of_unplaced_messages_puts_nothing_beside_what_is_held_or_finished(
    broker: Broker, redis: Redis
) -> None:
    put(redis, QUEUE, held(unplaced=("m1", "m2")))
    late = requeueing_unplaced("m1", "m2")
    late(broker)
    assert claim_ids(broker, 2) == ["m1", "m2"]
    claim_ids(broker, 0, "m1")

    assert late(broker) == 0

    assert look(redis, QUEUE) == held("m2", stats={"restored": 2, "acked": 1}, wake=True)


def test_a_late_deduplicate_takes_nothing_from_the_only_place(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(waiting=("m1",), delayed=("m1",)))
    late = deduplicating("m1")
    late(broker)
    assert claim_ids(broker, 1) == ["m1"]

    assert late(broker) == 0

    assert look(redis, QUEUE).processing == {"w1": ("m1",)}


def test_a_late_drop_of_missing_messages_leaves_an_id_whose_message_is_there(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1",), forged=("m1",)))
    missing = finding(Kind.MISSING_BODY, locations("m1", place(OWN, "waiting"), stored=(False, False)))
    redis.hset(broker.keys(QUEUE).messages, "m1", "1\n1")

    assert repair._drop_missing(QueueScan(broker, QUEUE), missing) == 0

    assert look(redis, QUEUE).waiting == ("m1",)


def test_a_late_requeue_takes_nothing_from_a_worker_that_registered(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(processing={"w9": ("m1",)}))
    broker.register(QUEUE, "s1", "w9")
    before = everything(redis)

    assert requeueing_unregistered(broker) is None

    assert everything(redis) == before


def test_a_long_list_is_requeued_in_steps_and_in_order(broker: Broker, redis: Redis) -> None:
    ids = tuple(f"m{number:03}" for number in range(250))
    put(redis, QUEUE, Containers(waiting=("m999",), processing={"w9": ids}))

    assert [requeueing_unregistered(broker), repair.requeue_unregistered(broker, QUEUE, b"w9")] == [100, 150]

    assert look(redis, QUEUE).waiting == (*ids, "m999")


AT_THE_LIMIT: Dict[str, Call] = {
    "requeue_unplaced": requeueing_unplaced("m1"),
    "deduplicate": deduplicating("m2"),
    "drop_missing": lambda broker: repair._drop_missing(
        QueueScan(broker, QUEUE),
        finding(Kind.MISSING_BODY, locations("f", place(OWN, "delayed"), stored=(False, False))),
    ),
    "drop_attempts": lambda broker: repair._drop_attempts(
        QueueScan(broker, QUEUE), finding(Kind.STALE_ATTEMPTS, locations("x", stored=(False, False)))
    ),
    "requeue_unregistered": requeueing_unregistered,
    "write_off": lambda broker: broker.write_off(QUEUE, 0, 5),
    "locate": locating("m1"),
}


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_a_repair_works_at_the_memory_limit(
    own_server: RedisServer, broker_factory: Callable[[str], Broker], name: str
) -> None:
    with own_server.client() as client:
        client.config_set("maxmemory", 0)
        client.flushall()
        put(client, QUEUE, Containers(waiting=("m2", "m2"), delayed=("f",), forged=("f",), unplaced=("m1",),
                                      attempts={"x": "1 0 0 0"}, processing={"w9": ("m3",)}))  # fmt: skip
        client.config_set("maxmemory", 1)

        assert AT_THE_LIMIT[name](broker_factory(own_server.url))
