"""Requests to pools: kept in a bounded place, taken once, void after a minute."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from tests.scripts.containers import put
from tests.scripts.moves import QUEUE, held

REQUESTS, ANSWER = "bizzmq:{q}:requests", "bizzmq:{q}:answer:r1"


@pytest.fixture(autouse=True)
def _queue(redis: Redis) -> None:
    put(redis, QUEUE, held(supervisors={"s1": "7", "s2": "1"}))


def ask(broker: Broker, request: str = "r1", supervisor: str = "s1") -> int:
    return broker.ask(QUEUE, request, supervisor, b'{"what":"reload","by":"ada b"}')


def test_a_request_is_taken_once_by_its_pool_with_its_text(broker: Broker, redis: Redis) -> None:
    ask(broker)
    assert broker.requests_to(QUEUE, "s1") == ["r1"]
    assert broker.requests_to(QUEUE, "s2") == []
    assert broker.take_requests(QUEUE, "s2", ["r1"]) == []

    (taken,) = broker.take_requests(QUEUE, "s1", ["r1", "unknown"])

    assert (taken.id, taken.text) == ("r1", b'{"what":"reload","by":"ada b"}')
    assert 0 < taken.left_ms <= 60_000
    assert broker.take_requests(QUEUE, "s1", ["r1"]) == []
    assert not redis.exists(REQUESTS)
    assert redis.get(ANSWER) == ""
    assert 0 < redis.pttl(ANSWER) <= 300_000


def test_a_repetition_of_a_request_that_was_taken_does_not_ask_again(broker: Broker, redis: Redis) -> None:
    ask(broker)
    broker.take_requests(QUEUE, "s1", ["r1"])

    assert ask(broker) == 1

    assert not redis.exists(REQUESTS)


def test_requests_expire_by_the_clock_of_redis(broker: Broker, redis: Redis) -> None:
    ask(broker)
    assert 0 < redis.pttl(REQUESTS) <= 60_000
    redis.hset(REQUESTS, mapping={"r1": "1000 s1 {}", "forged": "x"})

    assert broker.take_requests(QUEUE, "s1", ["r1"]) == []
    assert not redis.exists(ANSWER)
    redis.hset(REQUESTS, "r1", "1000 s1 {}")
    ask(broker, "r2", "s2")
    assert redis.hkeys(REQUESTS) == ["r2"], "the next one has removed what has expired, and what is unreadable"


def test_requests_to_one_queue_are_bounded(broker: Broker, redis: Redis) -> None:
    assert {ask(broker, f"n{number}") for number in range(64)} == {1}

    assert ask(broker, "r1", "s2") == -1
    assert ask(broker, "n1") == 1, "a repetition has its place"
    assert redis.hlen(REQUESTS) == 64
    assert len(broker.take_requests(QUEUE, "s1", broker.requests_to(QUEUE, "s1"))) == 64
