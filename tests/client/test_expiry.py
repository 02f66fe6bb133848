"""Expiry: a message is not started after its time, wherever it waits, and its result says so."""

from __future__ import annotations

import json
from typing import Any, Iterator, List

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions, RetryLater
from bizzmq.protocol.keys import QueueKeys

K = QueueKeys("q")


@pytest.fixture
def queue(mq: BizzMQ) -> Iterator[BizzMQ]:
    mq.create_queue("q", QueueOptions(True, max_retries=5, retry_backoff_s=0))
    yield mq
    assert mq.stats("q").unaccounted == 0


def expire(redis: Redis, message_id: str) -> None:
    """Let the time of a message be over, without a wait."""
    entry = json.loads(redis.hget(K.extras, message_id))
    redis.hset(K.extras, message_id, json.dumps({**entry, "expires_ms": 1}, separators=(",", ":")))


def handled(queue: BizzMQ) -> List[Any]:
    seen: List[Any] = []
    queue.consume_until_empty("q", seen.append, timeout_s=30)
    return seen


@pytest.mark.parametrize("options", [{}, {"priority": 5}, {"delay_s": 30}, {"unique_key": "a"}], ids=str)
def test_an_expired_message_is_not_started(queue: BizzMQ, redis: Redis, options: Any) -> None:
    wanted = MessageOptions(expires_s=60, result_ttl_s=60, **options)
    old = queue.publish_message_to_queue("q", "old", wanted)
    queue.publish_message_to_queue("q", "new", MessageOptions(expires_s=60))
    expire(redis, old)
    if "delay_s" in options:
        redis.zadd(K.delayed, {old: 1})

    assert handled(queue) == ["new"]

    assert queue.stats("q").expired == 1
    assert queue.status("q", old).state == "expired"
    assert not redis.exists(K.messages, K.attempts, K.extras, K.unique)


def test_its_time_begins_when_it_is_published(queue: BizzMQ, redis: Redis) -> None:
    message = queue.publish_message_to_queue("q", 1, MessageOptions(expires_s=60))
    seconds, micros = redis.time()

    left_ms = json.loads(redis.hget(K.extras, message))["expires_ms"] - seconds * 1000 - micros // 1000
    assert 50_000 < left_ms <= 60_000


def test_its_status_says_so_before_anything_has_looked(queue: BizzMQ, redis: Redis) -> None:
    message = queue.publish_message_to_queue("q", 1, MessageOptions(expires_s=60))
    assert queue.status("q", message).state == "waiting"
    expire(redis, message)

    assert queue.status("q", message).state == "expired"
    assert handled(queue) == []


def test_a_retry_after_that_time_is_not_started(queue: BizzMQ, redis: Redis) -> None:
    seen = []
    message = queue.publish_message_to_queue("q", 1, MessageOptions(expires_s=60))

    def handler(body: Any) -> None:
        seen.append(body)
        expire(redis, message)
        raise RetryLater(delay_s=0)

    queue.consume_until_empty("q", handler, timeout_s=30)

    assert seen == [1]
    assert queue.stats("q").expired == 1


def test_it_is_dead_lettered_on_request_and_its_replay_runs(queue: BizzMQ, redis: Redis) -> None:
    queue.update_queue("q", {"dead_letter_expired": True})
    message = queue.publish_message_to_queue("q", 1, MessageOptions(expires_s=60))
    expire(redis, message)
    assert handled(queue) == []
    assert (queue.stats("q").expired, queue.stats("q").dead_lettered) == (0, 1)
    (letter,) = queue.dead_letters("q").messages
    assert letter.error["error_type"] == "MessageExpired"

    assert queue.replay("q", message) == 1
    assert handled(queue) == [1]


def test_an_expired_message_has_its_unique_key_no_more(queue: BizzMQ, redis: Redis) -> None:
    options = MessageOptions(expires_s=60, unique_key="a")
    old = queue.publish_message_to_queue("q", "old", options)
    expire(redis, old)
    new = queue.publish_message_to_queue("q", "new", options)

    assert new != old
    assert queue.publish_message_to_queue("q", "newer", options) == new
    assert handled(queue) == ["new"]
