"""Commands of the frequent calls. A script that does the same with more commands is wrong."""

from __future__ import annotations

from typing import Callable, Dict, Iterator

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.protocol.results import KeptResult
from bizzmq.testing.layout import Keys
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.scripts.containers import Containers, can_search_lists, put
from tests.scripts.moves import QUEUE, claim_ids, held
from tests.scripts.table_repairs import locating


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """A server that counts only the commands of these tests."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def client(own_server: RedisServer) -> Iterator[Redis]:
    with own_server.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def broker(own_server: RedisServer, broker_factory: Callable[[str], Broker]) -> Broker:
    return broker_factory(own_server.url)


def commands(client: Redis, call: Callable[[], object]) -> Dict[str, int]:
    """Number of runs of each command inside the call."""
    client.config_resetstat()
    call()
    found = {name[len("cmdstat_") :]: stats["calls"] for name, stats in client.info("commandstats").items()}
    return {
        name: calls for name, calls in found.items() if name not in ("evalsha", "eval", "config|resetstat", "config")
    }


def test_an_idle_claim_asks_whether_it_is_registered_and_whether_there_is_anything(
    broker: Broker, client: Redis
) -> None:
    put(client, QUEUE, held())

    assert commands(client, lambda: claim_ids(broker, 5)) == {"hexists": 1, "exists": 1}


def test_acks_in_order_are_one_trim(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", "m2", "m3"))

    counted = commands(client, lambda: claim_ids(broker, 0, "m1", "m2"))

    assert counted["ltrim"] == 1
    assert "lrem" not in counted
    assert counted["hlen"] == 1  # the type of the totals; the write checks that of `messages`


def test_acks_of_all_that_is_held_are_one_trim(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", "m2"))

    counted = commands(client, lambda: claim_ids(broker, 0, "m1", "m2"))

    assert counted["ltrim"] == 1
    assert "lrem" not in counted


def test_only_a_message_that_keeps_its_result_costs_a_result(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", "m2", "m3", keeps=("m2",)))
    kept = {b"m2": KeptResult(b"60000", b"text")}

    counted = commands(client, lambda: broker.finish(QUEUE, "w1", [b"m1", b"m2"], kept))

    assert counted["set"] == 1
    assert counted["ltrim"] == 1
    assert not {"lrem", "publish", "pexpire"} & set(counted)
    assert sum(calls for name, calls in counted.items() if name.startswith("pubsub")) == 1  # for all results


def test_a_message_without_a_result_asks_for_no_waiters(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", "m2"))

    counted = commands(client, lambda: broker.finish(QUEUE, "w1", [b"m1"], {}))

    assert not [name for name in counted if name.startswith(("set", "pubsub", "publish"))]


def test_a_result_is_sent_to_those_who_wait_for_it_and_to_no_other(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", "m2", "m3", keeps=("m1", "m2", "m3")))
    key = Keys(QUEUE).result("m2")
    with client.pubsub(ignore_subscribe_messages=True) as waiter:
        waiter.subscribe(key)
        eventually(lambda: client.pubsub_numsub(key) == [(key, 1)])
        results = {b"m1": KeptResult(b"60000", b"one"), b"m2": KeptResult(b"60000", b"two")}

        counted = commands(client, lambda: broker.finish(QUEUE, "w1", [b"m1", b"m2"], results))

        assert counted["publish"] == 1
        assert eventually(waiter.get_message)["data"] == "two"
        long = {b"m3": KeptResult(b"60000", b"x" * 5000)}
        waiter.subscribe(Keys(QUEUE).result("m3"))
        eventually(lambda: client.pubsub_numsub(Keys(QUEUE).result("m3"))[0][1])
        broker.finish(QUEUE, "w1", [b"m3"], long)
        assert eventually(waiter.get_message)["data"] == "", "a long one is not sent"
    assert client.get(Keys(QUEUE).result("m3")) == "x" * 5000


def test_the_results_of_a_dead_worker_are_sent_to_those_who_wait_for_them(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", "m2", keeps=("m1", "m2")))
    keys = [Keys(QUEUE).result(one) for one in ("m1", "m2")]
    results = {"m1": KeptResult(b"60000", b"one"), "m2": KeptResult(b"60000", b"two")}
    with client.pubsub(ignore_subscribe_messages=True) as waiter:
        waiter.subscribe(*keys)
        eventually(lambda: client.pubsub_numsub(*keys) == [(key, 1) for key in keys])

        broker.requeue(QUEUE, "w1", DeadWorker("stopped", last_finished="m2", results=results))

        sent = [eventually(waiter.get_message) for _ in keys]
    assert {one["channel"]: one["data"] for one in sent} == dict(zip(keys, ("one", "two")))


def test_a_result_takes_no_more_memory_than_it_needs(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", keeps=("m1",)))

    broker.finish(QUEUE, "w1", [b"m1"], {b"m1": KeptResult(b"60000", b"x" * 100)})

    assert client.memory_usage(Keys(QUEUE).result("m1")) < 400


def test_acks_out_of_order_are_removed_one_by_one(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", "m2", "m3"))

    counted = commands(client, lambda: claim_ids(broker, 0, "m2", "m3"))

    assert counted["lrem"] == 2
    assert "ltrim" not in counted


def test_a_claim_without_acks_searches_none(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held(waiting=("m1",)))

    counted = commands(client, lambda: claim_ids(broker, 1))

    assert (counted["lrange"], counted["rpoplpush"]) == (1, 1)  # held and waiting messages
    assert "lrem" not in counted


def test_one_message_is_claimed_by_one_move(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held("m1", waiting=("m3", "m2")))

    counted = commands(client, lambda: claim_ids(broker, 1, "m1"))

    assert counted == {
        "hexists": 1, "exists": 1, "lrange": 1, "hlen": 1, "hdel": 1, "hincrby": 1, "ltrim": 1, "llen": 1,
        "rpoplpush": 1, "hmget": 1, "zadd": 1,
    }  # fmt: skip


def test_several_messages_are_claimed_by_one_push(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held(waiting=("m3", "m2", "m1")))

    counted = commands(client, lambda: claim_ids(broker, 2))

    assert (counted["lpush"], counted["ltrim"], counted["lrange"]) == (1, 1, 2)  # held and waiting messages


def test_a_claim_reads_no_missing_set(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held(waiting=("m1",)))

    counted = commands(client, lambda: claim_ids(broker, 1))

    assert not {"zrangebyscore", "zcard", "zrange", "hget"} & set(counted)
    assert counted["hmget"] == 1  # no attempts


def test_a_claim_that_acks_nothing_checks_two_types(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, held(waiting=("m1",), delayed=("m2",)))

    counted = commands(client, lambda: claim_ids(broker, 2))

    assert counted["llen"] == 1  # waiting messages
    assert counted["hlen"] == 3  # the types of the totals and of the messages, and the number of workers


def test_a_list_is_searched_for_few_ids_and_read_through_for_many(broker: Broker, client: Redis) -> None:
    ids = [f"m{number}" for number in range(10)]
    put(client, QUEUE, Containers(waiting=tuple(ids)))

    few = commands(client, lambda: locating(*ids[:1])(broker))
    many = commands(client, lambda: locating(*ids)(broker))

    if can_search_lists(client):
        assert (few["lpos"], few.get("lrange", 0)) == (2, 0)  # whether it can, and where; not in empty lists
    else:
        assert (few.get("lpos", 0), few["lrange"]) == (0, 1)
    assert (many.get("lpos", 0), many["lrange"]) == (0, 1)


def test_a_batch_is_published_by_one_push(broker: Broker, client: Redis) -> None:
    put(client, QUEUE, Containers())

    counted = commands(client, lambda: broker.publish(QUEUE, "pub", 1, 0, 0, ["m1", b"1\n1", "m2", b"1\n2"]))

    assert (counted["lpush"], counted["hset"]) == (1, 1)
