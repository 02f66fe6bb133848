"""What mends is harmless when it comes late, is sent to the wrong one, or meets workers that it does not know."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator

import pytest
from redis import Redis

from bizzmq import repair
from bizzmq.broker import Broker
from bizzmq.errors import BrokerUnavailableError
from bizzmq.findings import Kind
from bizzmq.sight import OWN, inspect_keys, restore_keys
from bizzmq.survey import Survey
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import Containers, everything, look, put
from tests.scripts.moves import DEAD, QUEUE, claim_ids, held
from tests.scripts.table_repairs import finding, inspecting, place, reclaiming, restoring, sight, unifying

Call = Callable[[Broker], Any]


def keys_without_lists(broker: Broker, name: str) -> list[str]:
    sides = Survey(broker, QUEUE).sides
    return restore_keys(sides, OWN) if name == "restore" else inspect_keys(sides)


@pytest.mark.parametrize("name", ["inspect", "restore", "unify"])
@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_a_list_of_a_registered_worker_must_be_looked_at(broker: Broker, redis: Redis, name: str, queue: str) -> None:
    put(redis, QUEUE, Containers(stray=("m1",)))
    redis.hset(broker.keys(queue).workers, "w1", "s1")
    before = everything(redis)

    reply = broker.run(name, keys_without_lists(broker, name), "m1")

    assert (reply[0] if name == "inspect" else reply) == -2
    assert everything(redis) == before


def test_a_worker_that_comes_meanwhile_is_looked_at_the_next_time(
    broker: Broker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(redis, QUEUE, held("m1"))
    survey = Survey(broker, QUEUE)
    lists, calls = survey.lists, []

    def first_none() -> list[bytes]:
        calls.append(1)
        return lists() if len(calls) > 1 else []

    monkeypatch.setattr(survey, "lists", first_none)

    assert survey.inspect([b"m1"]) == [sight("m1", place(OWN, "processing:w1"))]
    assert len(calls) == 2


def test_workers_that_always_come_meanwhile_are_an_outage(
    broker: Broker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(redis, QUEUE, held("m1"))
    survey = Survey(broker, QUEUE)
    monkeypatch.setattr(survey, "lists", list)

    with pytest.raises(BrokerUnavailableError):
        survey.inspect([b"m1"])


def test_a_late_restore_puts_nothing_beside_what_is_held_or_finished(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(stray=("m1", "m2")))
    late = restoring("m1", "m2")
    late(broker)
    assert claim_ids(broker, 2) == ["m1", "m2"]
    claim_ids(broker, 0, "m1")

    assert late(broker) == 0

    assert look(redis, QUEUE) == held("m2", stats={"restored": 2, "acked": 1}, wake=True)


def test_a_late_unify_takes_nothing_from_the_only_place(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(waiting=("m1",), delayed=("m1",)))
    late = unifying("m1")
    late(broker)
    assert claim_ids(broker, 1) == ["m1"]

    assert late(broker) == 0

    assert look(redis, QUEUE).processing == {"w1": ("m1",)}


def test_a_late_drop_leaves_an_id_whose_message_is_there(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("m1",), forged=("m1",)))
    hollow = finding(Kind.HOLLOW, sight("m1", place(OWN, "waiting"), stored=(False, False)))
    redis.hset(broker.keys(QUEUE).messages, "m1", "1\n1")

    assert repair._drop(Survey(broker, QUEUE), hollow) == 0

    assert look(redis, QUEUE).waiting == ("m1",)


def test_a_late_reclaim_takes_nothing_from_a_worker_that_registered(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(processing={"w9": ("m1",)}))
    broker.register(QUEUE, "s1", 7, "w9")
    before = everything(redis)

    assert reclaiming(broker) == -1

    assert everything(redis) == before


def test_a_long_list_is_reclaimed_in_steps_and_in_order(broker: Broker, redis: Redis) -> None:
    ids = tuple(f"m{number:03}" for number in range(250))
    put(redis, QUEUE, Containers(waiting=("m999",), processing={"w9": ids}))

    assert [reclaiming(broker), repair.reclaim(broker, QUEUE, b"w9")] == [100, 150]

    assert look(redis, QUEUE).waiting == (*ids, "m999")


AT_THE_LIMIT: Dict[str, Call] = {
    "restore": restoring("m1"),
    "unify": unifying("m2"),
    "drop": lambda broker: repair._drop(
        Survey(broker, QUEUE), finding(Kind.HOLLOW, sight("f", place(OWN, "delayed"), stored=(False, False)))
    ),
    "forget": lambda broker: repair._forget(
        Survey(broker, QUEUE), finding(Kind.LEFTOVER, sight("x", stored=(False, False)))
    ),
    "reclaim": reclaiming,
    "write_off": lambda broker: broker.run("write_off", [broker.keys(QUEUE).stats], 0, 5),
    "inspect": inspecting("m1"),
}


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_it_works_at_the_memory_limit(
    own_server: RedisServer, broker_factory: Callable[[str], Broker], name: str
) -> None:
    with own_server.client() as client:
        client.config_set("maxmemory", 0)
        client.flushall()
        put(client, QUEUE, Containers(waiting=("m2", "m2"), delayed=("f",), forged=("f",), stray=("m1",),
                                      attempts={"x": "1 0 0 0"}, processing={"w9": ("m3",)}))  # fmt: skip
        client.config_set("maxmemory", 1)

        assert AT_THE_LIMIT[name](broker_factory(own_server.url))
