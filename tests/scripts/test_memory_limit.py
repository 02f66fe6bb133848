"""Redis at its memory limit without eviction: only publish and create fail, and the queue drains."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator

import pytest
from redis import Redis

from bizzmq.admin import purge
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, Requeued
from bizzmq.errors import BrokerFullError
from bizzmq.protocol.results import KeptResult
from bizzmq.queue import QueueOptions
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import Containers, everything, look, put
from tests.scripts.moves import DEAD, QUEUE, claim_ids, held
from tests.scripts.table_schedules import ONE, occurrence, pausing, removing, resuming

NEW, ONCE = "0 0 0 0", "1 0 0 0"
FULL = {"maxmemory": "1", "maxmemory-policy": "noeviction"}

WORKING: Dict[str, Callable[[Broker], Any]] = {
    "claim": lambda broker: claim_ids(broker, 3),
    "claim of a delayed one": lambda broker: claim_ids(broker, 4),
    "ack": lambda broker: claim_ids(broker, 0, "m1"),
    "finish": lambda broker: broker.finish(QUEUE, "w1", [b"m1"], {b"m1": KeptResult(b"1000", b"text")}),
    "retry": lambda broker: broker.retry(QUEUE, "w1", "m1", NEW, ONCE, 0),
    "retry later": lambda broker: broker.retry(QUEUE, "w1", "m1", NEW, ONCE, 1000),
    "dead_letter": lambda broker: broker.dead_letter(QUEUE, "w1", "m1", NEW, b'{"error":"e"}'),
    "discard": lambda broker: broker.discard(QUEUE, "w1", "m1", NEW),
    "release": lambda broker: broker.release(QUEUE, "w1", 1, ["m2", "m1"]),
    "release_prefetched": lambda broker: broker.release_prefetched(QUEUE, "w1", "m1", 1),
    "requeue": lambda broker: broker.requeue(QUEUE, "w1", DeadWorker("crash", running="m1")),
    "quarantine": lambda broker: broker.requeue(QUEUE, "w1", DeadWorker("crash", running="m1", crash_limit=1)),
    "register": lambda broker: broker.register(QUEUE, "s2", "w2") is None,
    "heartbeat": lambda broker: broker.heartbeat(QUEUE, "s1").counter,
    "report": lambda broker: (
        broker.report(QUEUE, "s1", b"{}", 60_000) and broker.connection.execute("EXISTS", broker.keys(QUEUE).pool("s1"))
    ),
    "add_metrics": lambda broker: broker.add_metrics(QUEUE, "s1", 1, b"measured", b"{}"),
    "add_metrics with what a pool uses": lambda broker: broker.add_metrics(
        QUEUE, "s1", 1, b"", b"", (b"used", b"slots")
    ),
    "roll_up_metrics": lambda broker: broker.roll_up_metrics(QUEUE, b"", b"1", {b"s:1": b"x"}, []),
    "change_alert": lambda broker: broker.change_alert(QUEUE, "no-worker", b"", b"1"),
    "ask": lambda broker: broker.ask(QUEUE, "r1", "s1", b"{}"),
    "take_requests": lambda broker: broker.ask(QUEUE, "r1", "s1", b"{}") and broker.take_requests(QUEUE, "s1", ["r1"]),
    "repair_leftovers": lambda broker: (
        broker.cancel(QUEUE, b"{}", ["m1"]).requested
        and broker.connection.execute("HDEL", broker.keys(QUEUE).extras, "m1")
        and broker.repair_leftovers(QUEUE, [b"m1"], [])
    ),
    "unregister": lambda broker: broker.unregister(QUEUE, "s1"),
    "replay": lambda broker: broker.replay(QUEUE, "d1", 0),
    "purge": lambda broker: purge.purge(broker, QUEUE),
    "cancel": lambda broker: broker.cancel(QUEUE, b"{}", ["m3"]).ended,
    "cancel of a held one": lambda broker: broker.cancel(QUEUE, b"{}", ["m1"]).requested,
    "cancel of one that was seen in a worker's list": lambda broker: (
        broker.cancel(QUEUE, b"{}", ["m1"], are_held=True).requested
    ),
    "delete_message": lambda broker: broker.delete_message(QUEUE, "m3"),
    "delete_queue": lambda broker: broker.delete_queue(
        QUEUE, [broker.keys(QUEUE).processing("w1").encode()], "all", b""
    ),
    "promote": lambda broker: broker.promote(QUEUE, "m4"),
    "pause": lambda broker: broker.pause(QUEUE, "queue", b'{"by":"ada"}', 0) is None,
    "resume": lambda broker: broker.pause(QUEUE, "queue", b'{"by":"ada"}', 0) is None and broker.resume(QUEUE, "queue"),
    "resume what is over": lambda broker: broker.resume(QUEUE, "").following == "",
    "pause_schedule": pausing(),
    "resume_schedule": lambda broker: pausing()(broker) and resuming()(broker),
    "remove_schedule": removing(),
    "update": lambda broker: broker.update(QUEUE, {"retry": "2", "max_retries": "5"}, dead_letters=False),
}


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """A server that the tests of this module fill and empty."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def full(own_server: RedisServer) -> Iterator[Redis]:
    """A client of a server at its limit, with a queue that has messages in all places."""
    with own_server.client() as client:
        client.config_set("maxmemory", 0)
        client.flushall()
        put(client, QUEUE, held("m1", "m2", waiting=("m3",), due=("m4",), **ONE))
        put(client, DEAD, Containers(waiting=("d1",)))
        for name, value in FULL.items():
            client.config_set(name, value)
        yield client


@pytest.fixture
def broker(own_server: RedisServer, broker_factory: Callable[[str], Broker]) -> Broker:
    return broker_factory(own_server.url)


@pytest.mark.parametrize("name", WORKING)
def test_everything_but_publish_works_at_the_limit(broker: Broker, full: Redis, name: str) -> None:
    assert WORKING[name](broker)


@pytest.mark.parametrize("name", ["dead_letter", "discard", "quarantine"])
def test_the_failure_of_a_message_is_kept_at_the_limit(broker: Broker, full: Redis, name: str) -> None:
    full.config_set("maxmemory", 0)
    full.flushall()
    put(full, QUEUE, held("m1", "m2", keeps=("m1",)))
    full.config_set("maxmemory", FULL["maxmemory"])

    assert WORKING[name](broker)

    assert full.exists(broker.keys(QUEUE).result("m1"))


def test_a_resume_that_was_begun_is_completed_at_the_limit(broker: Broker, full: Redis) -> None:
    full.config_set("maxmemory", 0)
    full.flushall()
    put(full, QUEUE, Containers(suspended=("m1",), pauses={"resuming": "{}"}))
    full.config_set("maxmemory", FULL["maxmemory"])

    assert broker.resume(QUEUE, "").returned == 1


def test_publish_fails_with_its_own_error(broker: Broker, full: Redis) -> None:
    before = everything(full)

    with pytest.raises(BrokerFullError):
        broker.publish(QUEUE, "pub", 1, 0, 0, ["m9", b"1\n1"])
    with pytest.raises(BrokerFullError):
        broker.fire(QUEUE, [occurrence(name="m9")])
    with pytest.raises(BrokerFullError):
        broker.create("other", QueueOptions())

    assert everything(full) == before


def test_the_queue_drains_at_the_limit(broker: Broker, full: Redis) -> None:
    assert broker.requeue(QUEUE, "w1", DeadWorker("stopped")) == Requeued(2, 0, "", 0)
    broker.register(QUEUE, "s1", "w2")
    handled: list[str] = []

    while claim_ids(broker, 2, worker="w2"):
        ids = claim_ids(broker, 2, worker="w2")
        handled += ids
        broker.claim(QUEUE, "w2", 0, ids)

    assert sorted(handled) == ["m1", "m2", "m3", "m4"]
    assert look(full, QUEUE).ids() == set()
