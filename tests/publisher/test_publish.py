"""Publishing: what arrives, in which order, and behavior when Redis does not answer."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, MessageOptions, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.protocol.ids import published_us
from bizzmq.publisher.pipeline import BATCH_BYTES, BATCH_MESSAGES, batches
from bizzmq.publisher.publisher import Publisher
from bizzmq.testing.proxy import Proxy
from tests.scripts.containers import look
from tests.support.recording_handler import RecordingHandler

TOP = 2**53
BAD_OPTIONS = [
    {"priority": TOP + 1}, {"priority": -TOP - 1}, {"priority": 1.0}, {"priority": True}, {"priority": "1"},
    {"retries": -1}, {"retries": 1.5}, {"delay_s": -1}, {"delay_s": float("nan")}, {"delay_s": float("inf")},
    {"timeout_s": 0}, {"timeout_s": float("nan")},
]  # fmt: skip


@pytest.fixture
def proxied(proxy: Proxy, mq: BizzMQ, queue: str) -> Publisher:
    """A publisher behind the proxy that gives up at once; all scripts are cached."""
    mq.publish_message_to_queue("q", "first")
    return Publisher(Broker(Connection(proxy.url)), retry_for_s=0)


def test_an_id_contains_the_time_at_which_redis_got_the_message(mq: BizzMQ, redis: Redis, queue: str) -> None:
    def now_us() -> int:
        seconds, micros = redis.time()
        return int(seconds * 1_000_000 + micros)

    before_us = now_us()
    message_id = mq.publish_message_to_queue("q", 1)

    assert len(message_id) == 20
    assert before_us - 1000 <= published_us(message_id) <= now_us() + 1000


def test_many_return_their_ids_in_order(mq: BizzMQ, redis: Redis, queue: str) -> None:
    ids = mq.publish_messages_to_queue("q", (number for number in range(250)))

    assert len(set(ids)) == 250
    assert ids == sorted(ids)
    assert look(redis, "q").waiting == tuple(ids)
    assert [redis.hget("bizzmq:{q}:messages", message_id) for message_id in ids[:2]] == ["1\n0", "1\n1"]


def test_an_empty_list_is_accepted(mq: BizzMQ, queue: str) -> None:
    assert mq.publish_messages_to_queue("q", []) == []


def test_messages_are_handled_by_priority_then_in_publish_order(mq: BizzMQ, queue: str) -> None:
    priorities = [0, -1, 5, TOP, -TOP, 0, 5, TOP - 1, 1 - TOP, -1, TOP, -TOP]
    for number, priority in enumerate(priorities):
        mq.publish_message_to_queue("q", [priority, number], MessageOptions(priority=priority))
    seen = RecordingHandler()

    stop = mq.consume_message_from_queue("q", seen)

    wanted = sorted(([p, n] for n, p in enumerate(priorities)), key=lambda body: (-body[0], body[1]))
    assert seen.wait(len(priorities)) == wanted
    stop()
    assert [context.priority for context in seen.contexts] == [body[0] for body in wanted]


def test_a_batch_with_a_priority_keeps_its_order(mq: BizzMQ, queue: str) -> None:
    mq.publish_messages_to_queue("q", range(150), MessageOptions(priority=3))
    seen = RecordingHandler()

    mq.consume_message_from_queue("q", seen)

    assert seen.wait(150) == list(range(150))


def test_a_delayed_message_is_not_delivered_early(mq: BizzMQ, redis: Redis, queue: str) -> None:
    seen = RecordingHandler()
    mq.consume_message_from_queue("q", seen)

    mq.publish_message_to_queue("q", "later", MessageOptions(delay_s=0.4))
    mq.publish_message_to_queue("q", "now")

    assert seen.wait(1) == ["now"]
    assert seen.wait(2) == ["now", "later"]
    seconds, micros = redis.time()
    waited_s = seconds + micros / 1e6 - seen.contexts[1].published_at_s
    assert waited_s >= 0.4


def test_a_delay_counts_by_the_clock_of_redis(mq: BizzMQ, redis: Redis, queue: str) -> None:
    before_ms = redis.time()[0] * 1000

    message_id = mq.publish_message_to_queue("q", 1, MessageOptions(delay_s=3600, priority=2))

    due_ms = redis.zscore("bizzmq:{q}:delayed", message_id)
    assert due_ms is not None
    assert 3_600_000 <= due_ms - before_ms <= 3_660_000
    assert mq.stats("q").delayed == 1


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
def test_options_that_cannot_work_are_refused(options: dict) -> None:
    with pytest.raises(ConfigurationError):
        MessageOptions(**options)


def test_a_publish_whose_reply_is_lost_publishes_once(proxied: Publisher, proxy: Proxy, mq: BizzMQ) -> None:
    proxied._retry_for_s = 10.0
    lost = proxy.swallow_next_reply()

    ids = proxied.publish("q", [1, 2], MessageOptions())

    lost.wait()
    assert len(ids) == 2
    assert mq.stats("q").published == mq.stats("q").waiting == 3


def test_a_publish_whose_request_is_lost_is_sent_again(proxied: Publisher, proxy: Proxy, mq: BizzMQ) -> None:
    proxied._retry_for_s = 10.0
    lost = proxy.lose_request()

    proxied.publish("q", [1, 2], MessageOptions())

    lost.wait()
    assert mq.stats("q").published == 3


def test_requests_are_bounded_in_messages_and_bytes_and_a_larger_message_is_sent_alone() -> None:
    small, large = b"x", b"y" * (BATCH_BYTES + 1)
    half = b"z" * (BATCH_BYTES // 2)

    assert list(batches([])) == []
    assert [len(batch) for batch in batches([small] * (2 * BATCH_MESSAGES + 1))] == [BATCH_MESSAGES, BATCH_MESSAGES, 1]
    assert list(batches([small, large, small, half, half])) == [[small], [large], [small], [half, half]]
    assert list(batches([half, half, small])) == [[half], [half, small]]


def test_after_giving_up_the_next_publish_works(proxied: Publisher, proxy: Proxy, mq: BizzMQ) -> None:
    proxy.lose_request(1)
    proxy.lose_request(2)  # the first repeat, over a new connection
    with pytest.raises(ConnectionError):
        proxied.publish("q", [1], MessageOptions())

    proxied.publish("q", [2], MessageOptions())

    assert mq.stats("q").waiting == 2


def test_messages_start_with_the_initial_retry_count_of_the_queue(mq: BizzMQ) -> None:
    mq.create_queue("used", QueueOptions(retry=2))
    mq.publish_message_to_queue("used", 1)
    seen = RecordingHandler()

    mq.consume_message_from_queue("used", seen)

    seen.wait(1)
    assert (seen.contexts[0].retry_count, seen.contexts[0].delivery) == (2, 3)
