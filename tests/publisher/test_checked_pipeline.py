"""Pipelined publishes of unique messages: under all faults each key is stored once, in order, and without a gap."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any, Iterator, List, Sequence

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQ, BrokerUnavailableError, MessageOptions, QueueFullError, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.publisher.checked import PublishedIds
from bizzmq.publisher.pipeline import MAX_IN_FLIGHT, SHARD_BATCH_MESSAGES
from bizzmq.publisher.publisher import Publisher
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.wait import eventually
from tests.scripts.containers import look
from tests.support.strikes import LOST_CONNECTIONS, LOST_SCRIPTS, struck

REQUESTS, KEYS = 8, 300
MANY = [n % KEYS for n in range(REQUESTS * SHARD_BATCH_MESSAGES)]
CHUNKS = REQUESTS // MAX_IN_FLIGHT
"""The least number of pieces in which the requests reach a proxy, which counts pieces, not requests."""
UNIQUE = MessageOptions(unique_key=lambda body: f"key {body}")
FAULTS = pytest.mark.parametrize(
    ("fault", "nth"), [*itertools.product(["swallow_reply", "lose_request"], range(1, CHUNKS + 1))]
)


@pytest.fixture
def proxied(proxy: Proxy, mq: BizzMQ, queue: str) -> Iterator[Publisher]:
    """A connected publisher behind the proxy with everything cached."""
    publisher = Publisher(Broker(Connection(proxy.url)))
    publisher.publish("q", ["first"], UNIQUE)
    yield publisher
    publisher.close()


def check(redis: Redis, ids: Sequence[str], duplicates: Any = None) -> None:
    """Each key is stored once, in order, behind the first message, and its id stands for all its messages."""
    waiting = look(redis, "q").waiting
    assert waiting[1:] == tuple(ids[:KEYS])
    assert list(ids) == [ids[body] for body in MANY]
    assert redis.hvals("bizzmq:{q}:unique") == list(waiting)
    assert set(redis.hkeys("bizzmq:{q}:messages")) == set(redis.hkeys("bizzmq:{q}:extras")) == set(waiting)
    stats = look(redis, "q").stats
    assert (stats["published"], stats["duplicates"]) == (KEYS + 1, len(MANY) - KEYS)
    if duplicates is not None:
        assert duplicates == {*range(KEYS, len(MANY))}


@FAULTS
def test_a_request_or_its_reply_is_lost(proxied: Publisher, proxy: Proxy, redis: Redis, fault: str, nth: int) -> None:
    lost = getattr(proxy, fault)(nth)
    ids = PublishedIds()

    proxied.publish("q", MANY, UNIQUE, ids)

    lost.wait()
    check(redis, ids, ids.duplicates)


@FAULTS
def test_the_same_from_asyncio(mq: BizzMQ, queue: str, proxy: Proxy, redis: Redis, fault: str, nth: int) -> None:
    async def main() -> List[str]:
        async with AsyncBizzMQ(proxy.url) as amq:
            await amq.publish_message_to_queue("q", "first", UNIQUE)
            lost = getattr(proxy, fault)(nth)
            ids = await amq.publish_messages_to_queue("q", MANY, UNIQUE)
            lost.wait()
            return ids

    ids: Any = asyncio.run(main())
    check(redis, ids, ids.duplicates)


def test_a_publish_that_gives_up_reports_what_was_published(proxied: Publisher, proxy: Proxy, redis: Redis) -> None:
    proxied._retry_for_s = 0
    proxy.lose_request(nth=CHUNKS)
    proxy.refuse()

    with pytest.raises(BrokerUnavailableError) as gave_up:
        proxied.publish("q", range(len(MANY)), UNIQUE)

    published = gave_up.value.published_ids
    waiting = look(redis, "q").waiting[1:]
    assert len(published) >= SHARD_BATCH_MESSAGES
    assert waiting[: len(published)] == tuple(published)
    assert len(waiting) - len(published) <= MAX_IN_FLIGHT * SHARD_BATCH_MESSAGES


def test_two_requests_are_sent_before_the_reply_to_the_first_one_arrives(
    proxied: Publisher, proxy: Proxy, redis: Redis
) -> None:
    proxy.stall(to_server=False)
    ids = PublishedIds()
    publishing = threading.Thread(target=proxied.publish, args=("q", MANY, UNIQUE, ids))
    publishing.start()
    try:
        eventually(lambda: redis.hlen("bizzmq:{q}:messages") == 1 + MAX_IN_FLIGHT * SHARD_BATCH_MESSAGES)
    finally:
        proxy.resume()
        publishing.join()

    check(redis, ids, ids.duplicates)


@pytest.mark.parametrize("harm", [LOST_SCRIPTS, LOST_CONNECTIONS])
def test_scripts_or_connections_are_lost_all_the_time(
    mq: BizzMQ, redis: Redis, queue: str, url: str, harm: str
) -> None:
    with struck(url, harm):
        mq.publish_message_to_queue("q", "first", UNIQUE)
        ids = [mq.publish_messages_to_queue("q", MANY, UNIQUE) for _ in range(10)]

    assert ids == ids[:1] * 10
    assert look(redis, "q").waiting[1:] == tuple(ids[0][:KEYS])
    assert look(redis, "q").stats["published"] == KEYS + 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_queue_that_is_full_stores_what_the_error_reports(url: str, mq: BizzMQ, redis: Redis, is_async: bool) -> None:
    mq.create_queue("q", QueueOptions(max_length=250))

    async def publish() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.publish_messages_to_queue("q", range(1000), UNIQUE)

    with pytest.raises(QueueFullError) as full:
        asyncio.run(publish()) if is_async else mq.publish_messages_to_queue("q", range(1000), UNIQUE)

    assert look(redis, "q").waiting == tuple(full.value.published_ids)
    assert len(full.value.published_ids) == 200


def test_sealed_messages_are_pipelined_too(url: str, redis: Redis) -> None:
    with BizzMQ(url, signing_keys=[b"k" * 32]) as mq:
        mq.create_queue("q")
        seen: List[Any] = []
        mq.publish_messages_to_queue("q", MANY, UNIQUE)
        assert mq.consume_until_empty("q", seen.append, timeout_s=30) == KEYS
    assert seen == MANY[:KEYS]
