"""Races of a lease with other events at the same moment."""

from __future__ import annotations

from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, Requeued
from bizzmq.connection.base import Connection
from bizzmq.errors import BrokerUnavailableError
from bizzmq.testing.proxy import Proxy
from tests.consumer.ticked_lease import OPTIONS, REAPED_BY_S, TickedLease
from tests.scripts.containers import FRESH, Containers, look, put
from tests.scripts.moves import held


@pytest.fixture
def silent(redis: Redis) -> Containers:
    """s1, which sends no heartbeats, and its worker w1, which holds m1 and m2."""
    before = held("m1", "m2", waiting=("m3",))
    put(redis, "q", before)
    return before


@pytest.fixture
def proxied(proxy: Proxy) -> Iterator[Broker]:
    broker = Broker(Connection(proxy.url, timeout_s=1.0))
    yield broker
    broker.connection.drop()


def before_each_requeue(broker: Broker, action: Callable[[str], object]) -> list[str]:
    """The broker takes the action at the last moment. Returns the queues that it has taken it for."""
    requeue, queues = broker.requeue, []

    def requeue_late(queue: str, worker: str, death: DeadWorker) -> Requeued | None:
        queues.append(queue)
        action(queue)
        return requeue(queue, worker, death)

    broker.requeue = requeue_late
    return queues


def test_a_heartbeat_just_before_the_reaping_prevents_it(redis: Redis, url: str, silent: Containers) -> None:
    broker = Broker(Connection(url))
    calls = before_each_requeue(broker, lambda queue: broker.heartbeat(queue, "s1"))
    watcher = TickedLease(broker)

    watcher.until(lambda: bool(calls), REAPED_BY_S)

    after = look(redis, "q")
    assert (after.processing, after.workers) == (silent.processing, silent.workers)
    assert after.supervisors["s1"] == "8"
    broker.connection.drop()


def test_a_supervisor_that_returns_while_its_worker_is_reaped_stays_registered(redis: Redis, url: str) -> None:
    put(redis, "q", held("m1", supervisors={}))
    broker = Broker(Connection(url))
    calls = before_each_requeue(broker, lambda queue: broker.register(queue, "s1"))
    watcher = TickedLease(broker)

    watcher.until(lambda: bool(calls), REAPED_BY_S)

    after = look(redis, "q")
    broker.connection.drop()
    assert after.processing == {"w1": ("m1",)}
    assert after.supervisors.get("s1") == FRESH


def test_an_outage_of_redis_restarts_the_observation(
    proxied: Broker, proxy: Proxy, redis: Redis, silent: Containers
) -> None:
    watcher = TickedLease(proxied)
    watcher.pass_time(14)

    proxy.refuse()
    proxy.cut()
    with pytest.raises(BrokerUnavailableError):
        watcher.pass_time(OPTIONS.beat_s + 1)
    proxy.accept()

    reaped_after_s = watcher.until(lambda: "s1" not in look(redis, "q").supervisors, REAPED_BY_S)
    assert reaped_after_s >= OPTIONS.lease_s


def test_two_reapers_requeue_once(broker: Broker, redis: Redis, silent: Containers) -> None:
    watchers = [TickedLease(broker, "one"), TickedLease(broker, "two")]

    for _ in range(int(REAPED_BY_S)):
        for watcher in watchers:
            watcher.pass_time(1)

    after = look(redis, "q")
    assert after.waiting == ("m1", "m2", "m3")
    assert after.stats["requeued"] == 2
    assert set(after.supervisors) == {"one", "two"}
