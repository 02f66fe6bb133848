"""Unique messages: while a message has a key, no other one with it is published."""

from __future__ import annotations

from typing import Any, Iterator, List

import pytest
from redis import Redis

from bizzmq import App, BizzMQ, ConfigurationError, MessageOptions, QueueOptions, Reject, UniqueKeyInUseError
from bizzmq.protocol.keys import QueueKeys

K = QueueKeys("q")
UNIQUE = MessageOptions(unique_key="tenant-7")


@pytest.fixture
def queue(mq: BizzMQ) -> BizzMQ:
    mq.create_queue("q", QueueOptions(True, max_retries=1, retry_backoff_s=0))
    return mq


@pytest.fixture
def app(url: str) -> Iterator[App]:
    app = App(url)
    yield app
    app.close()


def nothing(_body: Any) -> None:
    return


def test_a_second_message_is_not_stored_and_the_first_one_stands_for_it(queue: BizzMQ) -> None:
    first = queue.publish_message_to_queue("q", 1, UNIQUE)
    assert queue.publish_message_to_queue("q", 2, UNIQUE) == first
    other = queue.publish_message_to_queue("q", 3, MessageOptions(unique_key="tenant-8"))

    stats = queue.stats("q")
    assert (stats.waiting, stats.published, stats.duplicates, stats.unaccounted) == (2, 2, 1, 0)
    seen: List[Any] = []
    queue.consume_until_empty("q", seen.append, timeout_s=30)
    assert seen == [1, 3]
    assert queue.publish_message_to_queue("q", 4, UNIQUE) not in (first, other)


def test_each_message_of_many_has_its_own_key(queue: BizzMQ) -> None:
    options = MessageOptions(unique_key=lambda body: body["tenant"])
    bodies = [{"tenant": name, "n": n} for n, name in enumerate("abcab")]

    ids = queue.publish_messages_to_queue("q", bodies, options)

    assert (ids[3], ids[4], len({*ids})) == (ids[0], ids[1], 3)


def test_it_is_the_handle_that_says_so(app: App) -> None:
    @app.task(name="report", unique_key=lambda arguments: f"report {arguments['month']}", result_ttl_s=60)
    def report(month: int) -> int:
        return month

    first, again = report.publish(1), report.publish(1)
    many = report.publish_many([(1,), (2,), (2,)])

    assert (first.duplicate, again.duplicate, again.id) == (False, True, first.id)
    assert [one.duplicate for one in many] == [True, False, True]
    app.client.consume_until_empty("default", app.dispatcher(), timeout_s=30)
    assert (again.result(10), many[2].result(10)) == (1, 2)


def test_the_key_is_free_once_the_message_has_started(queue: BizzMQ) -> None:
    options, ids = MessageOptions(unique_key="a", unique_until="started"), []

    def handler(body: int) -> None:
        if body == 1:
            ids.append(queue.publish_message_to_queue("q", 2, options))

    ids.append(queue.publish_message_to_queue("q", 1, options))
    assert queue.publish_message_to_queue("q", 1, options) == ids[0]
    assert queue.consume_until_empty("q", handler, timeout_s=30) == 2
    assert ids[0] != ids[1]


def test_a_throttled_key_is_taken_for_its_time_whatever_becomes_of_the_message(queue: BizzMQ, redis: Redis) -> None:
    options = MessageOptions(unique_key="a", unique_for_s=60)
    first = queue.publish_message_to_queue("q", 1, options)
    queue.consume_until_empty("q", nothing, timeout_s=30)

    assert queue.publish_message_to_queue("q", 2, options) == first
    assert 50_000 < redis.pttl(K.throttles) <= 60_000
    redis.zadd(K.throttles, {"a": 1})  # its time is over
    assert queue.publish_message_to_queue("q", 3, options) != first


def test_the_last_arguments_win(queue: BizzMQ, redis: Redis) -> None:
    options = MessageOptions(unique_key="a", on_duplicate="replace", delay_s=60)
    first = queue.publish_message_to_queue("q", 1, options)
    due_ms = redis.zscore(K.delayed, first)
    redis.zadd(K.delayed, {first: due_ms - 50_000})
    assert queue.publish_message_to_queue("q", 2, options) == first
    assert redis.zscore(K.delayed, first) >= due_ms

    redis.zadd(K.delayed, {first: 1})
    seen: List[Any] = []
    queue.consume_until_empty("q", seen.append, timeout_s=30)
    assert seen == [2]


def test_a_waiting_message_is_replaced_in_its_place(queue: BizzMQ) -> None:
    options = MessageOptions(unique_key="a", on_duplicate="replace")
    queue.publish_message_to_queue("q", "old", options)
    queue.publish_message_to_queue("q", "behind")
    queue.publish_messages_to_queue("q", ["newer", "newest"], options)

    seen: List[Any] = []
    queue.consume_until_empty("q", seen.append, timeout_s=30)
    assert seen == ["newest", "behind"]


def test_what_a_worker_holds_is_not_replaced_but_followed(queue: BizzMQ) -> None:
    options, seen = MessageOptions(unique_key="a", on_duplicate="replace"), []

    def handler(body: Any) -> None:
        seen.append(body)
        if body == "first":
            queue.publish_message_to_queue("q", "second", options)
            queue.publish_message_to_queue("q", "third", options)

    queue.publish_message_to_queue("q", "first", options)
    queue.consume_until_empty("q", handler, timeout_s=30)

    assert seen == ["first", "third"]
    assert queue.stats("q").unaccounted == 0


def test_signed_messages_are_replaced_too(url: str, redis: Redis) -> None:
    options, seen = MessageOptions(unique_key="a", on_duplicate="replace"), []
    with BizzMQ(url, signing_keys=[b"k" * 32]) as mq:
        mq.create_queue("q")
        first = mq.publish_message_to_queue("q", 1, options)
        assert mq.publish_messages_to_queue("q", [2, 3], options) == [first, first]
        assert mq.consume_until_empty("q", seen.append, timeout_s=30) == 1
    assert seen == [3]


def test_a_dead_letter_has_no_key_and_takes_it_again_when_it_is_replayed(queue: BizzMQ) -> None:
    def rejects(_body: Any) -> None:
        raise Reject("no")

    first = queue.publish_message_to_queue("q", 1, UNIQUE)
    queue.consume_until_empty("q", rejects, timeout_s=30)
    assert queue.stats("q").dead_lettered == 1
    second = queue.publish_message_to_queue("q", 2, UNIQUE)
    assert second != first

    with pytest.raises(UniqueKeyInUseError, match="another message"):
        queue.replay("q", first)
    assert queue.replay("q") == 0
    assert queue.stats("q").dead_lettered == 1

    queue.delete("q", second)
    assert queue.replay("q", first) == 1
    assert queue.publish_message_to_queue("q", 3, UNIQUE) == first


def test_a_key_that_a_worker_of_the_version_before_has_left_is_free(queue: BizzMQ, redis: Redis) -> None:
    first = queue.publish_message_to_queue("q", 1, UNIQUE)
    redis.hdel(K.messages, first)  # its ack knows nothing of keys
    redis.delete(K.waiting)

    assert queue.publish_message_to_queue("q", 2, UNIQUE) != first


def test_messages_of_one_key_meet_in_one_shard(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(shards=4))
    options = MessageOptions(unique_key=str)
    with mq:
        first = mq.publish_messages_to_queue("q", range(20), options)
        assert mq.publish_messages_to_queue("q", range(20), options) == first
        assert mq.stats("q").waiting == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"unique_key": "k" * 513}, {"unique_key": 7}, {"unique_key": "a\x00"}, {"unique_key": None},
        {"unique_key": "\ud800"}, {"unique_until": "started"}, {"unique_for_s": 5}, {"on_duplicate": "replace"},
        {"unique_key": "a", "unique_until": "sometime"}, {"unique_key": "a", "on_duplicate": "drop"},
        {"unique_key": "a", "unique_for_s": 0}, {"unique_key": "a", "unique_for_s": 5, "on_duplicate": "replace"},
        {"unique_key": "a", "unique_for_s": 5, "unique_until": "started"}, {"expires_s": 0}, {"expires_s": "5"},
        {"expires_s": 5, "delay_s": 5},
    ],
    ids="-".join,
)  # fmt: skip
def test_wrong_options_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        MessageOptions(**wrong)


@pytest.mark.parametrize("key", [lambda _: 7, lambda _: "k" * 513, lambda _: None])
def test_a_function_that_returns_no_key_publishes_nothing(queue: BizzMQ, key: Any) -> None:
    with pytest.raises(ConfigurationError, match="unique_key"):
        queue.publish_messages_to_queue("q", [1, 2], MessageOptions(unique_key=key))
    assert queue.stats("q").published == 0


@pytest.mark.parametrize("options", [UNIQUE, MessageOptions(expires_s=5)])
def test_a_dead_letter_queue_takes_neither(queue: BizzMQ, options: MessageOptions) -> None:
    with pytest.raises(ConfigurationError, match="dead-letter queue"):
        queue.publish_message_to_queue("q_dlq", 1, options)
