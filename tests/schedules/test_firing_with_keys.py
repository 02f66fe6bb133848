"""Schedules in consumers, and with signing and encryption keys."""

from __future__ import annotations

from typing import Any, List

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.testing.wait import eventually
from tests.schedules.conftest import Clockwork, K


def test_an_in_process_consumer_fires(mq: BizzMQ, queue: str, consumer_factory: Any, url: str) -> None:
    handled: List[Any] = []
    mq.schedule("s", queue, {"n": 1}, every_s=1)

    consumer_factory(url, queue, handled.append, LeaseOptions(beat_s=0.2))

    eventually(lambda: len(handled) >= 2, 30.0)
    assert handled[:2] == [{"n": 1}] * 2


def test_a_signed_schedule_fires_signed_messages_and_a_forged_one_does_not(url: str, redis: Redis) -> None:
    key = "k" * 43 + "="
    handled: List[Any] = []
    with BizzMQ(url, signing_keys=[key]) as mq:
        mq.create_queue("q")
        mq.schedule("s", "q", {"n": 1}, every_s=1)
        stop = mq.consume_message_from_queue("q", handled.append)
        eventually(lambda: handled, 30.0)
        stored = redis.hget(K.schedules, "s")
        assert stored is not None
        redis.hset(K.schedules, "forged", stored.replace('{"n":1}', '{"n":2}'))
        redis.zadd(K.due, {"forged": 1000})
        seen = len(handled)
        eventually(lambda: len(handled) > seen, 30.0)
        stop()
        assert redis.zscore(K.due, "forged") == 1000
        assert {"n": 2} not in handled
        assert mq.run_schedule("s")


def test_a_secret_schedule_fires_secret_messages_and_nobody_reads_it_without_the_key(url: str, redis: Redis) -> None:
    pytest.importorskip("cryptography")
    keys = {"k1": "k" * 43 + "="}
    handled: List[Any] = []
    with BizzMQ(url, encryption_keys=keys, compress_above_bytes=100) as mq:
        mq.create_queue("q")
        mq.schedule("s", "q", {"secret": "x" * 200}, every_s=1)
        seen = mq.schedule("s", "q", {"secret": "x" * 200}, every_s=1)
        with BizzMQ(url) as plain:
            assert "encrypted with key 'k1'" in str(plain.show_schedule("s").body)
            assert plain.show_schedule("s").next_at_s == seen.next_at_s
        stop = mq.consume_message_from_queue("q", handled.append)
        eventually(lambda: handled, 30.0)
        stop()
        mq.schedule("s", "q", {"secret": 1}, every_s=3600)
        assert mq.run_schedule("s")

    assert handled[0] == {"secret": "x" * 200}
    assert not any("secret" in value for value in redis.hvals(K.schedules))


def test_a_process_without_the_key_does_not_fire_a_secret_schedule(
    url: str, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cryptography")
    with BizzMQ(url, encryption_keys={"k1": "k" * 43 + "="}) as mq:
        mq.schedule("s", "q", 1, every_s=3600)
    clockwork.set_due(1000)

    clockwork.tick()

    assert clockwork.waiting() == []
    assert "encrypted with the key 'k1', which is unknown here" in caplog.text
