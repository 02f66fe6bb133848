"""What pools report: the report itself, and the totals once in ten seconds, from which rates are made."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from bizzmq.admin.activity.rates import Rate, rates_of
from bizzmq.broker.broker import Broker
from bizzmq.protocol.pool_report import PoolReport, RunningMessage, read_report
from tests.scripts.containers import put
from tests.scripts.moves import QUEUE, held

POOL, RATES = "bizzmq:{q}:pool:s1", "bizzmq:{q}:rates"
PERIODS = 96
REPORT = PoolReport(target="tasks:app", workers=2, busy=1, running=(RunningMessage("w1", "m1", 1.5, 1),))


def report(broker: Broker) -> bool:
    return broker.report(QUEUE, "s1", REPORT.encode(), 60_000)


def samples(redis: Redis) -> dict[str, list[int]]:
    return {place: [int(part) for part in text.split()] for place, text in redis.hgetall(RATES).items()}


def test_a_report_is_stored_with_redis_time_and_expires(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())

    assert report(broker)

    stamped = read_report(redis.get(POOL).encode())
    assert stamped is not None
    assert abs(stamped[0] - time.time() * 1000) < 60_000
    assert stamped[1] == REPORT
    assert 0 < redis.pttl(POOL) <= 60_000
    assert 0 < redis.ttl(RATES) <= 1200


def test_the_first_report_of_ten_seconds_notes_the_totals_with_their_spares(broker: Broker, redis: Redis) -> None:
    stats = {
        "published": 9,
        "replayed": 1,
        "acked": 5,
        "acked:spare": 1,
        "discarded": 2,
        "dead_lettered": 3,
        "expired": 4,
    }
    put(redis, QUEUE, held(stats=stats))
    report(broker)
    before = samples(redis)
    redis.hset("bizzmq:{q}:stats", "acked", 7)
    report(broker)

    assert [totals[1:] for totals in before.values()] == [[9, 1, 6, 2, 3, 0, 0, 4, 0]]
    assert samples(redis) == before or len(samples(redis)) == 2, "the second one fell into the next ten seconds"


def test_a_place_of_the_ring_is_used_again_after_its_time(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    report(broker)
    ((place, before),) = samples(redis).items()
    redis.hset(RATES, place, f"{before[0] - PERIODS * 10_000} 1 1 1 1 1 1 1 1 1")

    report(broker)

    assert all(totals[1:] == [0] * 9 for totals in samples(redis).values())
    assert len(samples(redis)) <= 2


@pytest.mark.parametrize("value", ["", "x", "-1 2", "1e99 0", "99999999999999999999 1"])
def test_a_forged_sample_is_replaced(broker: Broker, redis: Redis, value: str) -> None:
    put(redis, QUEUE, held())
    redis.hset(RATES, mapping=dict.fromkeys(map(str, range(PERIODS)), value))

    assert report(broker)

    assert sum(text != value for text in redis.hgetall(RATES).values()) in (1, 2)


def test_a_report_ends_with_the_registration(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    report(broker)

    assert broker.unregister(QUEUE, "s1")

    assert redis.exists(POOL) == 0


def test_keys_of_wrong_types_are_left_and_do_not_stop_a_report(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    redis.set(RATES, "x")
    redis.lpush("bizzmq:{q}:stats", "x")

    assert report(broker)
    redis.delete(RATES)
    assert report(broker)

    assert read_report(redis.get(POOL).encode()) is not None
    assert redis.exists(RATES) == 0


def test_a_rate_is_the_growth_of_the_totals_within_its_window() -> None:
    now_ms = 2_000_000_000
    ages = {800: (0, 0, 0), 290: (100, 50, 10), 55: (200, 150, 20)}
    fields = [
        (b"%d" % place, b"%d %d 0 %d 0 0 %d 0 0 0" % (now_ms - age_s * 1000, *totals))
        for place, (age_s, totals) in enumerate(ages.items())
    ]
    stats = [(b"published", b"310"), (b"acked", b"260"), (b"retried", b"31")]

    rates = rates_of(fields, stats, now_ms)

    assert rates[60] == Rate(120.0, 120.0, 12.0)
    assert rates[300] == Rate(round(210 * 60 / 290, 3), round(210 * 60 / 290, 3), round(21 * 60 / 290, 3))
    assert rates[900] == Rate(round(310 * 60 / 800, 3), round(260 * 60 / 800, 3), round(31 * 60 / 800, 3))


def test_no_pool_no_rate_and_samples_of_a_deleted_queue_do_not_count() -> None:
    assert set(rates_of([], [(b"published", b"5")], 1_000_000).values()) == {None}
    older = [(b"1", b"999000 900 0 0 0 0 0 0 0 0"), (b"2", b"2000000 1 0 0 0 0 0 0 0 0")]
    assert set(rates_of(older, [(b"published", b"5")], 1_000_000).values()) == {None}


@pytest.mark.parametrize("stored", [
    None, b"", b"x {}", b"1 ", b"1 []", b"1 {}", b'1 {"kind":1}', b"9" * 20 + b" {}",
    b"1 " + REPORT.encode().replace(b'"workers":2', b'"workers":true'),
    b"1 " + REPORT.encode().replace(b'"beat_s":3.0', b'"beat_s":"x"'),
    b"1 " + REPORT.encode().replace(b'["w1","m1"', b'["w1"'),
])  # fmt: skip
def test_a_forged_report_is_none(stored: bytes | None) -> None:
    assert read_report(stored) is None
