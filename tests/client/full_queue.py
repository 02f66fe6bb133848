"""A queue with messages in each state."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from tests.scripts.containers import put
from tests.scripts.moves import held


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


@pytest.fixture
def full(redis: Redis) -> Redis:
    """A queue with messages in all places."""
    put(redis, "q", held("m1", "m2", waiting=("m3", "m4"), prioritized={"m5": 4, "m6": -4}, due=("m7",),
                         delayed=("m8",), attempts={"m3": '2 1 0 0\t{"error":"crash"}', "m5": "x"}))  # fmt: skip
    put(redis, "q_dlq", held("d1", worker="w2", workers={"w2": "s1"}, waiting=("d2", "d3"), parked=("d4",),
                             prioritized={"d5": 1}, delayed=("d6",)))  # fmt: skip
    redis.sadd("bizzmq:queues", "q")
    return redis
