"""A purge deletes what was there when it was asked, ends, and says how many; what comes later stays."""

from __future__ import annotations

import threading
from typing import Any, Iterator, List, Set

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.broker import Broker
from bizzmq.purging import purge_all
from bizzmq.testing.layout import Keys


@pytest.fixture
def flood(url: str, mq: BizzMQ) -> Iterator[List[str]]:
    """Messages of all kinds are published as fast as can be; the ids so far."""
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
def test_a_purge_beside_a_publisher_at_full_rate_ends_and_leaves_what_came_later(
    mq: BizzMQ, redis: Redis, broker: Broker, flood: List[str]
) -> None:
    mq.publish_messages_to_queue("q", range(3000))
    before = stored(redis)
    count_before = len(before)

    deleted = sum(purge_all(broker, "q"))
    known = set(flood)

    left = stored(redis)
    assert not before & left
    # Between the look above and the purge's own some have come, which it deletes, too; none of those that came later.
    assert deleted >= count_before
    assert mq.stats("q").purged == deleted
    assert len(known - left - before) <= deleted - count_before


def test_a_purge_takes_what_came_first(mq: BizzMQ, redis: Redis, broker: Broker) -> None:
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
    assert left >= set(came[205:])  # what came before its first look may be deleted


def take_all_after_the_first_look(mq: BizzMQ, broker: Broker, then: int) -> List[str]:
    """Once the purge has looked, a worker takes 100 messages, and `then` new ones are published; the ids of those."""
    broker.register("q", "s", 1, "w")
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


def test_a_purge_leaves_to_workers_what_they_have_taken(mq: BizzMQ, redis: Redis, broker: Broker) -> None:
    mq.create_queue("q")
    old = mq.publish_messages_to_queue("q", range(120))
    new = take_all_after_the_first_look(mq, broker, then=300)

    assert sum(purge_all(broker, "q")) == 20
    assert stored(redis) == {*old[:100], *new}


def test_a_purge_whose_messages_have_all_been_taken_deletes_nothing(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q")
    mq.publish_messages_to_queue("q", range(5))
    take_all_after_the_first_look(mq, broker, then=700)

    assert sum(purge_all(broker, "q")) == 0
    assert mq.stats("q").waiting == 700
