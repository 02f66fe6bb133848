"""Replays and retention are cut off at any point: each message stays in one place, and the rest is done later."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerUnavailableError, QueueOptions
from bizzmq.audit.audit import audit
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.dead_letters.retention import Retention
from bizzmq.testing import invariants
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.dead_letters.letters import bury, record

COUNT, KILLS = 1000, 6


@pytest.fixture
def queue(mq: BizzMQ) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    return "q"


def killed_while(work: Callable[[], Any], after_s: float) -> None:
    """Run something in a process that is killed after a time, unless it ends before."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def balanced(url: str) -> bool:
    broker = Broker(Connection(url))
    try:
        return audit(broker, "q", 0.0).balanced
    finally:
        broker.connection.drop()


def test_a_replay_that_is_killed_is_completed_by_the_next_one(
    mq: BizzMQ, redis: Redis, url: str, queue: str, rng: random.Random
) -> None:
    ids = bury(redis, *(record() for _ in range(COUNT)))

    def replay() -> None:
        with BizzMQ(url) as other:
            other.replay(queue)

    for _ in range(KILLS):
        killed_while(replay, rng.uniform(0.005, 0.06))
        counts = mq.stats(queue)
        assert counts.waiting + counts.dead_lettered == COUNT
        invariants.check_one_place(redis, queue)
    mq.replay(queue)

    assert mq.stats(queue).replayed == COUNT
    handled: list[int] = []
    mq.consume_until_empty(queue, lambda body: handled.append(body["n"]))
    assert sorted(handled) == list(range(len(ids)))
    assert balanced(url)


def test_a_retention_that_is_killed_is_completed_by_the_next_one(
    mq: BizzMQ, redis: Redis, url: str, queue: str, rng: random.Random
) -> None:
    mq.update_queue(queue, {"dead_letter_ttl_s": 3600})
    bury(redis, *(record(failed_s=7200, age_s=7300) for _ in range(COUNT)), *(record() for _ in range(5)))

    def expire() -> None:
        Retention(Broker(Connection(url))).enforce(queue)

    for _ in range(KILLS):
        killed_while(expire, rng.uniform(0.001, 0.02))
        assert mq.stats("q_dlq").unaccounted == 0
        invariants.check_one_place(redis, queue)
    while mq.stats(queue).dead_lettered > 5:
        expire()

    assert mq.stats("q_dlq").expired == COUNT
    assert balanced(url)


def test_a_replay_that_lost_redis_is_completed_by_the_next_one(private_server: Callable[..., RedisServer]) -> None:
    server = private_server(persistence="aof", fsync="always")
    with server.client() as redis, BizzMQ(server.url) as mq, BizzMQ(server.url) as other:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
        bury(redis, *(record() for _ in range(300)))

        def replay() -> None:
            with suppress(BrokerUnavailableError):
                other.replay("q", rate="300/s")

        thread = threading.Thread(target=replay)
        thread.start()
        eventually(lambda: mq.stats("q").replayed > 30)
        server.kill()
        server.restart()
        thread.join()
        assert mq.stats("q").replayed < 300

        mq.replay("q")

        counts = mq.stats("q")
        assert (counts.waiting, counts.replayed, counts.dead_lettered) == (300, 300, 0)
        assert balanced(server.url)
