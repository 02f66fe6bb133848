"""A purge deletes the messages that were there when it started, ends, and counts them; later messages stay."""

from __future__ import annotations

import threading
from typing import Any, Iterator, List, Set

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.admin.purge import purge_all
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys


@pytest.fixture
def flood(url: str, mq: BizzMQ) -> Iterator[List[str]]:
    """Publish messages of all kinds as fast as possible during the block; yields the ids so far."""
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    ids: List[str] = []
    over = threading.Event()

    def publish() -> None:
        with BizzMQ(url) as other:
            while not over.is_set():
                for options in (MessageOptions(), MessageOptions(priority=9), MessageOptions(delay_s=60)):
                    ids.extend(other.publish_messages_to_queue("q", range(40), options))

    thread = threading.Thread(target=publish)
    thread.start()
    yield ids
    over.set()
    thread.join()


def stored(redis: Redis) -> Set[str]:
    return set(redis.hkeys(Keys("q").messages))


@pytest.mark.timeout(60)
def test_a_purge_during_publishing_at_full_rate_ends_and_leaves_later_messages(
    mq: BizzMQ, redis: Redis, broker: Broker, flood: List[str]
) -> None:
    mq.publish_messages_to_queue("q", range(3000))
    before = stored(redis)
    count_before = len(before)

    deleted = sum(purge_all(broker, "q"))
    known = set(flood)

    left = stored(redis)
    assert not before & left
    # Messages that came between the count above and the purge's start are deleted, too, but no later ones.
    assert deleted >= count_before
    assert mq.stats("q").purged == deleted
    assert len(known - left - before) <= deleted - count_before


def test_a_purge_deletes_the_oldest_messages_first(mq: BizzMQ, redis: Redis, broker: Broker) -> None:
    mq.create_queue("q")
    ids = mq.publish_messages_to_queue("q", range(250))
    came: List[str] = []
    execute = broker.connection.execute

    def publishing(*command: Any) -> Any:
        reply = execute(*command)
        if command[0] in ("EVAL", "EVALSHA") and len(came) < 2000:
            came.extend(mq.publish_messages_to_queue("q", range(200)))
            came.extend(mq.publish_messages_to_queue("q", range(5), MessageOptions(priority=1)))
        return reply

    broker.connection.execute = publishing  # type: ignore[method-assign]
    publishing("PING")
    assert sum(purge_all(broker, "q")) >= 250

    left = stored(redis)
    assert not left & set(ids)
    assert left >= set(came[205:])  # messages that came before its first read may be deleted


def claim_all_after_the_first_read(mq: BizzMQ, broker: Broker, then: int) -> List[str]:
    """After the purge has read once, a worker claims 100 messages; publish `then` new ones and return their ids."""
    broker.register("q", "s", "w")
    execute = broker.connection.execute
    new: List[str] = []
    looks = iter([True])

    def claiming(*command: Any) -> Any:
        reply = execute(*command)
        if command[0] in ("EVAL", "EVALSHA") and next(looks, False):
            broker.claim("q", "w", 100)
            new.extend(mq.publish_messages_to_queue("q", range(then)))
        return reply

    broker.connection.execute = claiming  # type: ignore[method-assign]
    return new


def test_a_purge_leaves_messages_that_workers_have_claimed(mq: BizzMQ, redis: Redis, broker: Broker) -> None:
    mq.create_queue("q")
    old = mq.publish_messages_to_queue("q", range(120))
    new = claim_all_after_the_first_read(mq, broker, then=300)

    assert sum(purge_all(broker, "q")) == 20
    assert stored(redis) == {*old[:100], *new}


def test_a_purge_whose_messages_have_all_been_claimed_deletes_nothing(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q")
    mq.publish_messages_to_queue("q", range(5))
    claim_all_after_the_first_read(mq, broker, then=700)

    assert sum(purge_all(broker, "q")) == 0
    assert mq.stats("q").waiting == 700
