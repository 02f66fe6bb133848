"""A pool started before its queue's options are chosen uses them later, and restores them after Redis lost them."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.errors import QueueNotFoundError
from bizzmq.testing.layout import command
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually

CHOSEN = QueueOptions(config_dead_letter_queue=True, max_retries=0, timeout_s=5)
SOON_S = 30.0


@pytest.fixture
def pool(url: str, redis: Redis, pool_factory: Callable[..., Pool]) -> Pool:
    started = pool_factory(url, args=["--lease=3"])
    started.wait_ready()
    return started


def hashes_read(redis: Redis) -> int:
    """How often a whole hash was read."""
    return int(command(redis, "INFO", "commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"])


def stored(url: str) -> tuple[QueueOptions, bool]:
    broker = Broker(connect(url))
    try:
        return broker.meta("q")
    finally:
        broker.connection.drop()


def test_a_pool_that_started_first_uses_the_chosen_options(url: str, pool: Pool, ledger: Any) -> None:
    with BizzMQ(url) as mq:
        ledger.wait_handled(mq.publish_message_to_queue("q", {"do": "ok"}), timeout_s=SOON_S)

        assert mq.create_queue("q", CHOSEN)
        assert not mq.create_queue("q", QueueOptions(max_retries=7))
        assert stored(url) == (CHOSEN, False)

        def fails_once() -> bool:
            before = mq.stats("q").dead_lettered
            failing = mq.publish_message_to_queue("q", {"do": "fail"})
            ledger.wait_started(failing, timeout_s=SOON_S)
            eventually(lambda: mq.stats("q").delayed or mq.stats("q").dead_lettered > before, SOON_S)
            return mq.stats("q").dead_lettered > before

        eventually(fails_once, SOON_S, pool.log)


@pytest.mark.usually(1)
@pytest.mark.parametrize("chosen", [True, False])
def test_the_known_options_are_restored_after_redis_was_emptied(
    url: str, redis: Redis, pool: Pool, ledger: Any, chosen: bool
) -> None:
    with BizzMQ(url) as mq:
        if chosen:
            mq.create_queue("q", CHOSEN)
        before = stored(url)
        eventually(lambda: pool.log().count("worker ready") >= 2, SOON_S)
        looks = hashes_read(redis)
        eventually(lambda: hashes_read(redis) >= looks + 6, SOON_S, "two scans of the janitor")

        redis.flushdb()

        def is_back() -> bool:
            try:
                return stored(url) == before
            except QueueNotFoundError:
                return False

        eventually(is_back, SOON_S, pool.log)
        assert before[1] is not chosen
        eventually(lambda: redis.hlen("bizzmq:{q}:workers") == 2, SOON_S, pool.log)
        ledger.wait_handled(mq.publish_message_to_queue("q", {"do": "ok"}), timeout_s=SOON_S)
