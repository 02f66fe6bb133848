"""What happens to a lease when something else happens in the same moment."""

from __future__ import annotations

from typing import Iterator

import pytest
from redis import Redis

from bizzmq.broker import Broker, Death, Requeued
from bizzmq.connection import Connection
from bizzmq.errors import BrokerUnavailableError
from bizzmq.testing.proxy import Proxy
from tests.client.watcher import OPTIONS, REAPED_BY_S, Watcher
from tests.scripts.containers import Containers, look, put
from tests.scripts.moves import held


@pytest.fixture
def silent(redis: Redis) -> Containers:
    """s1, which does not beat, and its worker w1, which holds m1 and m2."""
    before = held("m1", "m2", waiting=("m3",))
    put(redis, "q", before)
    return before


@pytest.fixture
def proxied(proxy: Proxy) -> Iterator[Broker]:
    broker = Broker(Connection(proxy.url, timeout_s=1.0))
    yield broker
    broker.connection.drop()


def test_one_that_beats_just_before_it_is_reaped_is_not(redis: Redis, url: str, silent: Containers) -> None:
    class LastMoment(Broker):
        beats = 0

        def requeue(self, queue: str, worker: str, death: Death) -> Requeued | None:
            self.beats += 1
            self.beat(queue, "s1")
            return super().requeue(queue, worker, death)

    broker = LastMoment(Connection(url))
    watcher = Watcher(broker)

    watcher.until(lambda: broker.beats > 0, REAPED_BY_S)

    after = look(redis, "q")
    assert (after.processing, after.workers) == (silent.processing, silent.workers)
    assert after.supervisors["s1"] == "8"
    broker.connection.drop()


def test_an_orphan_s_supervisor_that_comes_back_just_then_stays_registered(redis: Redis, url: str) -> None:
    class LastMoment(Broker):
        came_back = False

        def requeue(self, queue: str, worker: str, death: Death) -> Requeued | None:
            self.came_back = True
            self.register(queue, "s1", 7)
            return super().requeue(queue, worker, death)

    put(redis, "q", held("m1", supervisors={}))
    broker = LastMoment(Connection(url))
    watcher = Watcher(broker)

    watcher.until(lambda: broker.came_back, REAPED_BY_S)

    after = look(redis, "q")
    broker.connection.drop()
    assert after.processing == {"w1": ("m1",)}
    assert after.supervisors.get("s1") == "7"


def test_an_outage_of_redis_starts_the_watch_anew(
    proxied: Broker, proxy: Proxy, redis: Redis, silent: Containers
) -> None:
    watcher = Watcher(proxied)
    watcher.pass_time(14)

    proxy.refuse()
    proxy.cut()
    with pytest.raises(BrokerUnavailableError):
        watcher.pass_time(OPTIONS.beat_s + 1)
    proxy.accept()

    reaped_after_s = watcher.until(lambda: "s1" not in look(redis, "q").supervisors, REAPED_BY_S)
    assert reaped_after_s >= OPTIONS.lease_s


def test_two_reapers_put_back_once(broker: Broker, redis: Redis, silent: Containers) -> None:
    watchers = [Watcher(broker, "one"), Watcher(broker, "two")]

    for _ in range(int(REAPED_BY_S)):
        for watcher in watchers:
            watcher.pass_time(1)

    after = look(redis, "q")
    assert after.waiting == ("m1", "m2", "m3")
    assert after.stats["requeued"] == 2
    assert set(after.supervisors) == {"one", "two"}
