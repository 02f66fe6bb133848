"""What pools report with each heartbeat."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.protocol.pool_report import PoolReport, RunningMessage, read_report
from tests.scripts.containers import put
from tests.scripts.moves import QUEUE, held

POOL = "bizzmq:{q}:pool:s1"
REPORT = PoolReport(target="tasks:app", workers=2, busy=1, running=(RunningMessage("w1", "m1", 1.5, 1),))


def report(broker: Broker) -> bool:
    return broker.report(QUEUE, "s1", REPORT.encode(), 60_000)


def test_a_report_is_stored_with_redis_time_and_expires(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())

    assert report(broker)

    stamped = read_report(redis.get(POOL).encode())
    assert stamped is not None
    assert abs(stamped[0] - time.time() * 1000) < 60_000
    assert stamped[1] == REPORT
    assert 0 < redis.pttl(POOL) <= 60_000


def test_a_report_ends_with_the_registration(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    report(broker)

    assert broker.unregister(QUEUE, "s1")

    assert redis.exists(POOL) == 0


@pytest.mark.parametrize("stored", [
    None, b"", b"x {}", b"1 ", b"1 []", b"1 {}", b'1 {"kind":1}', b"9" * 20 + b" {}",
    b"1 " + REPORT.encode().replace(b'"workers":2', b'"workers":true'),
    b"1 " + REPORT.encode().replace(b'"beat_s":3.0', b'"beat_s":"x"'),
    b"1 " + REPORT.encode().replace(b'["w1","m1"', b'["w1"'),
])  # fmt: skip
def test_a_forged_report_is_none(stored: bytes | None) -> None:
    assert read_report(stored) is None
