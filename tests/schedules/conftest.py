"""Fixtures of the tests of schedules."""

from __future__ import annotations

import time
from typing import Any, Callable, List

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.broker.broker import Broker
from bizzmq.consumer.lease import Lease
from bizzmq.schedules.scheduler import Scheduler
from bizzmq.testing.layout import Keys

HOUR_MS = 3_600_000
K = Keys("q")


class Clockwork:
    """A schedule `s` of the queue `q`, and a scheduler that a test ticks. Times are set in Redis, never waited for."""

    def __init__(self, mq: BizzMQ, redis: Redis, broker: Broker) -> None:
        self.mq, self.redis, self._broker = mq, redis, broker
        self.scheduler = self.another()

    def another(self) -> Scheduler:
        """A scheduler that knows that the queue has schedules."""
        scheduler = Scheduler(self._broker, None)
        scheduler.note("q", True)
        return scheduler

    def add(self, **options: Any) -> None:
        self.mq.schedule("s", "q", {"n": 1}, **{"every_s": 3600, **options})

    def set_due(self, ago_ms: int) -> int:
        """Let the schedule be due since this time; returns the due time."""
        due_ms = int(time.time() * 1000) - ago_ms
        self.redis.zadd(K.due, {"s": due_ms})
        return due_ms

    def tick(self, *schedulers: Scheduler) -> None:
        for scheduler in schedulers or (self.scheduler,):
            scheduler.note("q", False)
            scheduler.note("q", True)  # look at once
            scheduler.tick(Lease(self._broker, "s1", ["q"]))

    def waiting(self) -> List[str]:
        return [str(one) for one in reversed(self.redis.lrange(K.waiting, 0, -1))]

    def next_in_ms(self) -> float:
        score = self.redis.zscore(K.due, "s")
        assert score is not None
        return score - time.time() * 1000


@pytest.fixture
def clockwork(mq: BizzMQ, queue: str, redis: Redis, broker: Broker) -> Clockwork:
    return Clockwork(mq, redis, broker)


Finish = Callable[[str], None]


@pytest.fixture
def finish(redis: Redis) -> Finish:
    """Let a waiting message be finished."""

    def end(message_id: str) -> None:
        redis.lrem(K.waiting, 1, message_id)
        redis.hdel(K.messages, message_id)

    return end
