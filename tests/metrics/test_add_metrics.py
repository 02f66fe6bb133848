"""Reports and samples in the history of a queue: each report counts once, and idle pools share one sample."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis import Redis

from bizzmq.admin.activity.rates import MINUTES, Rate, ages_of, minutes_of, rates_of, samples_of
from bizzmq.broker.broker import Broker
from bizzmq.metrics.history import read_recent, read_report
from bizzmq.metrics.steps import TOTALS, Sample
from bizzmq.protocol import ids
from tests.scripts.containers import put
from tests.scripts.moves import QUEUE, held

KEY = "bizzmq:{q}:metrics"
NOW_MS = 2_000_000_000


def fields(redis: Redis, start: str = "r:") -> dict[str, bytes]:
    stored: dict[Any, Any] = redis.hgetall(KEY)
    return {name: value.encode() for name, value in stored.items() if name.startswith(start)}


def test_a_report_has_a_sample_with_the_totals_and_their_spares(broker: Broker, redis: Redis) -> None:
    stats = {"published": 9, "replayed": 1, "acked": 5, "acked:spare": 1, "dead_lettered": 3, "expired": 4}
    put(redis, QUEUE, held("m1", waiting=("m2",), stats=stats))

    broker.add_metrics(QUEUE, "s1", 1, b"", b"")

    (report,) = [read_report(value) for value in fields(redis).values()]
    assert report is not None
    assert report.step.sample is not None
    assert abs(report.at_ms - time.time() * 1000) < 60_000
    assert dict(zip(TOTALS, report.step.sample[1:10]))["acked"] == 6
    assert report.step.sample[10:15] == (1, 0, 2, 0, 0)
    assert redis.ttl(KEY) > 30 * 24 * 3600


def test_what_a_pause_has_put_aside_is_not_held_by_workers(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1", waiting=("m2",), suspended=("m3", "m4", "m5")))

    gauges = broker.add_metrics(QUEUE, "s1", 1, b"", b"")

    assert gauges is not None
    assert (gauges.stored, gauges.suspended, gauges.processing) == (5, 3, 1)


def test_a_report_that_is_sent_again_is_added_once(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    for number in (1, 1, 2, 2, 1):
        broker.add_metrics(QUEUE, "s1", number, b"x", b"")
    broker.roll_up_metrics(QUEUE, b"", b"1", {}, [name.encode() for name in fields(redis)])

    broker.add_metrics(QUEUE, "s1", 2, b"x", b"")

    assert fields(redis) == {}
    assert fields(redis, "p:")["p:s1"].startswith(b"2 ")


def test_idle_pools_share_one_sample(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())

    for number in range(1, 4):
        for pool in ("s1", "s2"):
            broker.add_metrics(QUEUE, pool, number, b"", b"")

    assert len(fields(redis)) in (1, 2), "the second one fell into the next ten seconds"


def test_the_oldest_message_has_waited_since_its_id(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    hour_ago = ids.derived_id(int((time.time() - 3600) * 1e6), 1)
    redis.lpush("bizzmq:{q}:waiting", hour_ago)

    gauges = broker.add_metrics(QUEUE, "s1", 1, b"", b"")

    assert gauges is not None
    assert abs(gauges.oldest_ms - 3_600_000) < 60_000


def test_a_key_of_another_type_is_left(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    redis.set(KEY, "x")

    with pytest.raises(Exception, match=r"WRONGTYPE|wrong kind"):
        broker.add_metrics(QUEUE, "s1", 1, b"x", b"")

    assert redis.get(KEY) == "x"


def line(age_s: int, published: int, acked: int, retried: int) -> bytes:
    return b"%d %d 0 %d 0 0 %d 0 0 0\n" % (NOW_MS - age_s * 1000, published, acked, retried)


def test_a_rate_is_the_growth_of_the_totals_within_its_window() -> None:
    recent = line(800, 0, 0, 0) + line(290, 100, 50, 10) + line(55, 200, 150, 20)
    stats = [(b"published", b"310"), (b"acked", b"260"), (b"retried", b"31")]

    rates = rates_of(recent, stats, NOW_MS)

    assert rates[60] == Rate(120.0, 120.0, 12.0)
    assert rates[300] == Rate(round(210 * 60 / 290, 3), round(210 * 60 / 290, 3), round(21 * 60 / 290, 3))
    assert rates[900] == Rate(round(310 * 60 / 800, 3), round(260 * 60 / 800, 3), round(31 * 60 / 800, 3))


def test_minutes_are_what_has_grown_between_samples() -> None:
    recent = line(185, 10, 0, 0) + line(125, 20, 0, 0) + line(65, 20, 15, 1) + line(5, 25, 15, 1)
    stats = [(b"published", b"26"), (b"acked", b"15"), (b"retried", b"1")]

    minutes = minutes_of(samples_of(recent, stats, NOW_MS))

    assert len(minutes) == MINUTES
    assert minutes[:11] == (None,) * 11
    assert minutes[11:] == (Rate(0.0, 0.0, 0.0), Rate(10.0, 0.0, 0.0), Rate(0.0, 15.0, 1.0), Rate(6.0, 0.0, 0.0))
    assert minutes_of(samples_of(None, stats, NOW_MS)) == ()


def test_no_pool_no_rate_and_samples_of_a_deleted_queue_do_not_count() -> None:
    stats = [(b"published", b"5")]

    assert set(rates_of(None, stats, NOW_MS).values()) == {None}
    assert set(rates_of(line(100, 900, 0, 0) + line(-5, 1, 0, 0) + b"forged\n", stats, NOW_MS).values()) == {None}


def test_recent_samples_are_bounded_and_whole(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(stats={"published": 7}))
    many = b"".join(line(age_s, 10**15, 10**15, 10**15) for age_s in range(10_000, 0, -10))
    redis.hset(KEY, "recent", many)

    broker.add_metrics(QUEUE, "s1", 1, b"", b"")

    stored = redis.hget(KEY, "recent") or ""
    assert len(stored) <= 9000
    assert len(read_recent(stored.encode())) == stored.count("\n") >= 90
    assert stored.splitlines()[-1].split()[1] == "7"


@pytest.mark.parametrize("stored", [
    b"", b"x", b"1 2 3\n", b" ".join([b"9" * 17] * 16) + b"\n", b" ".join([b"-1"] * 16) + b"\n",
])  # fmt: skip
def test_a_forged_report_is_none(stored: bytes) -> None:
    assert read_report(stored) is None


def test_a_report_with_forged_measures_keeps_its_sample() -> None:
    report = read_report(b" ".join([b"7"] * 16) + b"\nforged")

    assert report is not None
    assert report.step.sample == Sample(*[7] * 16)
    assert report.step.rows == {}


def test_the_highest_age_of_each_minute_is_kept_for_a_quarter_of_an_hour(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    redis.lpush("bizzmq:{q}:waiting", ids.derived_id(int((time.time() - 3600) * 1e6), 1))
    now_ms = int(time.time() * 1000)
    old = "".join(f"{now_ms // 60_000 - ago} {ago}000\n" for ago in range(60, 0, -1))
    redis.hset(KEY, mapping={"ages": old})

    broker.add_metrics(QUEUE, "s1", 1, b"", b"")
    redis.hdel(KEY, "sampled")
    redis.delete("bizzmq:{q}:waiting")
    broker.add_metrics(QUEUE, "s1", 2, b"", b"")

    stored, now_ms = (redis.hget(KEY, "ages") or "").encode(), int(time.time() * 1000)
    ages = ages_of(stored, now_ms)
    assert len(stored) <= 430
    assert len(ages) == MINUTES
    assert ages[0] in (14.0, 15.0)  # a minute may have ended meanwhile
    assert ages[-1] is not None
    assert abs(ages[-1] - 3600) < 60
    assert ages_of(None, now_ms) == ages_of(b"x\n1 2 3\n-1 5\n", now_ms) == ()
