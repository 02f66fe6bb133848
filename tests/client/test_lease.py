"""The lease, by tick() with a clock of the test's own and a real server."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker import Broker
from tests.client.watcher import OPTIONS, REAPED_BY_S, TICK_S, Watcher
from tests.scripts.containers import Containers, everything, look, put
from tests.scripts.moves import held


@pytest.fixture
def silent(redis: Redis) -> Containers:
    """s1, which does not beat, and its worker w1, which holds m1 and m2."""
    before = held("m1", "m2", waiting=("m3",))
    put(redis, "q", before)
    return before


def test_it_beats_as_often_as_it_says(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    watcher = Watcher(broker)
    first = int(look(redis, "q").supervisors["watcher"])

    watcher.pass_time(30)

    assert int(look(redis, "q").supervisors["watcher"]) - first in (10, 11)


def test_a_tick_tells_when_the_next_one_is_due(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    watcher = Watcher(broker)

    for _ in range(50):
        wait_s = watcher.keeper.tick()
        assert 0 <= wait_s <= OPTIONS.beat_s
        watcher.clock.now_s += wait_s

    assert watcher.clock.now_s - watcher.started_s > 50


def test_a_silent_supervisor_is_reaped_after_the_lease_and_not_before(
    broker: Broker, redis: Redis, silent: Containers
) -> None:
    watcher = Watcher(broker)

    reaped_after_s = watcher.until(lambda: "s1" not in look(redis, "q").supervisors, REAPED_BY_S)

    assert reaped_after_s >= OPTIONS.lease_s
    after = look(redis, "q")
    assert after.waiting == ("m1", "m2", "m3")
    assert (after.workers, after.processing) == ({}, {})
    assert after.attempts == {"m1": "0 0 1 0", "m2": "0 0 1 0"}


def test_whenever_its_last_beat_was_a_supervisor_is_reaped_within_lease_and_scan_of_it(
    broker: Broker, redis: Redis, silent: Containers
) -> None:
    for beats in range(1, 30):
        redis.flushall()
        put(redis, "q", silent)
        watcher = Watcher(broker)
        watcher.pass_time(beats * TICK_S, lambda: broker.beat("q", "s1"))

        reaped_after_s = watcher.until(lambda: "s1" not in look(redis, "q").supervisors, REAPED_BY_S)

        assert OPTIONS.lease_s <= reaped_after_s <= OPTIONS.lease_s + OPTIONS.scan_s


def test_one_that_beats_is_never_reaped(broker: Broker, redis: Redis, silent: Containers) -> None:
    watcher = Watcher(broker)
    ticks = iter(range(10**6))

    watcher.pass_time(120, lambda: next(ticks) % 28 or broker.beat("q", "s1"))

    assert look(redis, "q").processing == silent.processing


def test_a_registration_without_a_supervisor_is_reaped(broker: Broker, redis: Redis) -> None:
    put(redis, "q", held("m1", supervisors={}))
    watcher = Watcher(broker)

    reaped_after_s = watcher.until(lambda: not look(redis, "q").workers, REAPED_BY_S)

    assert reaped_after_s >= OPTIONS.lease_s
    assert look(redis, "q").waiting == ("m1",)


def test_who_was_struck_off_registers_anew_under_another_counter(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    watcher = Watcher(broker)
    before = look(redis, "q").supervisors["watcher"]
    broker.evict("q", "watcher")

    watcher.pass_time(OPTIONS.beat_s)

    assert look(redis, "q").supervisors["watcher"] != before


def test_leaving_strikes_it_off(broker: Broker, redis: Redis) -> None:
    put(redis, "q", Containers())
    before = everything(redis)

    Watcher(broker).keeper.leave()

    assert everything(redis) == before
