"""The lease: tick() with a manual clock and a real server."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from tests.consumer.ticked_lease import OPTIONS, REAPED_BY_S, TICK_S, TickedLease
from tests.scripts.containers import Containers, everything, look, put
from tests.scripts.moves import held


@pytest.fixture
def silent(redis: Redis) -> Containers:
    """s1, which sends no heartbeats, and its worker w1, which holds m1 and m2."""
    before = held("m1", "m2", waiting=("m3",))
    put(redis, "q", before)
    return before


def test_it_sends_heartbeats_at_its_interval(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    watcher = TickedLease(broker)
    first = int(broker.supervisors("q")["watcher"])

    watcher.pass_time(30)

    assert int(broker.supervisors("q")["watcher"]) - first in (10, 11)


def test_a_tick_returns_when_the_next_one_is_due(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    watcher = TickedLease(broker)

    for _ in range(50):
        wait_s = watcher.lease.tick()
        assert 0 <= wait_s <= OPTIONS.beat_s
        watcher.clock.now_s += wait_s

    assert watcher.clock.now_s - watcher.started_s > 50


def test_a_silent_supervisor_is_reaped_after_the_lease_and_not_before(
    broker: Broker, redis: Redis, silent: Containers
) -> None:
    watcher = TickedLease(broker)

    reaped_after_s = watcher.until(lambda: "s1" not in look(redis, "q").supervisors, REAPED_BY_S)

    assert reaped_after_s >= OPTIONS.lease_s
    after = look(redis, "q")
    assert after.waiting == ("m1", "m2", "m3")
    assert (after.workers, after.processing) == ({}, {})
    assert after.attempts == {"m1": "0 0 1 0", "m2": "0 0 1 0"}


def test_a_supervisor_is_reaped_within_lease_and_scan_of_its_last_heartbeat(
    broker: Broker, redis: Redis, silent: Containers
) -> None:
    for beats in range(1, 30):
        redis.flushall()
        put(redis, "q", silent)
        watcher = TickedLease(broker)
        watcher.pass_time(beats * TICK_S, lambda: broker.heartbeat("q", "s1"))

        reaped_after_s = watcher.until(lambda: "s1" not in look(redis, "q").supervisors, REAPED_BY_S)

        assert OPTIONS.lease_s <= reaped_after_s <= OPTIONS.lease_s + OPTIONS.scan_s


def test_a_supervisor_with_heartbeats_is_never_reaped(broker: Broker, redis: Redis, silent: Containers) -> None:
    watcher = TickedLease(broker)
    ticks = iter(range(10**6))

    watcher.pass_time(120, lambda: next(ticks) % 28 or broker.heartbeat("q", "s1"))

    assert look(redis, "q").processing == silent.processing


def test_a_registration_without_a_supervisor_is_reaped(broker: Broker, redis: Redis) -> None:
    put(redis, "q", held("m1", supervisors={}))
    watcher = TickedLease(broker)

    reaped_after_s = watcher.until(lambda: not look(redis, "q").workers, REAPED_BY_S)

    assert reaped_after_s >= OPTIONS.lease_s
    assert look(redis, "q").waiting == ("m1",)


def test_an_unregistered_supervisor_registers_again_with_another_counter(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    watcher = TickedLease(broker)
    before = broker.supervisors("q")["watcher"]
    broker.unregister("q", "watcher")

    watcher.pass_time(OPTIONS.beat_s)

    assert broker.supervisors("q")["watcher"] != before


def test_leaving_unregisters_it(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    before = everything(redis)

    TickedLease(broker).lease.unregister()

    assert everything(redis) == before
