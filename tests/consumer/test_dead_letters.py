"""The handler of a dead-letter queue: what it receives, and that nothing is ever discarded there."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, Context, MessageOptions, QueueOptions, Reject
from bizzmq.admin.dead_letters import dead_letter, dead_letters
from bizzmq.admin.purge import purge
from bizzmq.admin.stats import queue_names
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.scripts.containers import look
from tests.support.recording_handler import NO_BACKOFF, RecordingHandler, at_rest, fail


@pytest.fixture
def dead(mq: BizzMQ, queue: str) -> str:
    """The id of a message that the handler of `q` failed to handle."""
    message_id = mq.publish_message_to_queue("q", {"n": 1}, MessageOptions(retries=0))
    stop = mq.consume_message_from_queue("q", fail)
    eventually(lambda: mq.stats("q").dead_lettered == 1)
    stop()
    return message_id


def reject(body: Any, context: Context) -> None:
    raise Reject("not here either")


def test_its_handler_gets_the_body_and_the_reason(mq: BizzMQ, dead: str) -> None:
    seen = RecordingHandler()

    stop = mq.consume_message_from_queue("q_dlq", seen)

    assert seen.wait(1) == [{"n": 1}]
    stop()
    (context,) = seen.contexts
    assert (context.id, context.queue, context.retry_count, context.delivery) == (dead, "q_dlq", 0, 1)
    assert context.error is not None
    assert (context.error["error_type"], context.error["queue"]) == ("ValueError", "q")
    assert mq.stats("q").dead_lettered == 0
    assert mq.stats("q_dlq").acked == 1


@pytest.mark.parametrize("handler", [fail, reject])
def test_a_message_that_fails_there_stays_in_it(mq: BizzMQ, redis: Redis, dead: str, handler: Any) -> None:
    stop = mq.consume_message_from_queue("q_dlq", handler)

    eventually(lambda: mq.stats("q_dlq").dead_lettered == 1)
    stop()
    assert look(redis, "q_dlq").parked == (dead,)
    assert mq.stats("q").dead_lettered == 1
    assert (mq.stats("q_dlq").discarded, mq.stats("q_dlq").waiting) == (0, 0)
    error = envelope_of(redis, "q_dlq", dead).error or {}
    assert (error["queue"], error["handler_error"]["queue"]) == ("q", "q_dlq")


def test_with_retries_of_its_own_it_is_retried_first(mq: BizzMQ, queue: str) -> None:
    mq.create_queue("q_dlq", QueueOptions(max_retries=2, retry_backoff_s=0))
    mq.publish_message_to_queue("q_dlq", 1)
    seen = RecordingHandler(fail)

    mq.consume_message_from_queue("q_dlq", seen)

    eventually(lambda: mq.stats("q_dlq").dead_lettered == 1)
    assert [context.retry_count for context in seen.contexts] == [0, 1, 2]


def test_a_parked_message_is_not_delivered_again(mq: BizzMQ, dead: str) -> None:
    stop = mq.consume_message_from_queue("q_dlq", reject)
    eventually(lambda: mq.stats("q_dlq").dead_lettered == 1)
    stop()
    seen = RecordingHandler()
    mq.publish_message_to_queue("q_dlq", "later")

    mq.consume_message_from_queue("q_dlq", seen)

    eventually(lambda: at_rest(mq, "q_dlq"))
    assert seen.bodies == ["later"]


@pytest.mark.parametrize("parked", [False, True])
def test_a_replayed_message_starts_again_with_no_attempts(mq: BizzMQ, broker: Broker, dead: str, parked: bool) -> None:
    if parked:
        stop = mq.consume_message_from_queue("q_dlq", reject)
        eventually(lambda: mq.stats("q_dlq").dead_lettered == 1)
        stop()
    letter = dead_letter(broker, "q", dead)
    assert letter is not None

    assert broker.replay(letter.queue, letter.id, letter.priority)

    seen = RecordingHandler()
    stop = mq.consume_message_from_queue("q", seen)
    assert seen.wait(1) == [{"n": 1}]
    stop()
    assert (seen.contexts[0].id, seen.contexts[0].delivery, seen.contexts[0].error) == (dead, 1, None)
    assert mq.stats("q").dead_lettered == 0
    assert not broker.replay(letter.queue, letter.id, letter.priority)


def test_a_replayed_message_keeps_its_options(mq: BizzMQ, redis: Redis, broker: Broker, queue: str) -> None:
    options = MessageOptions(priority=3, retries=0, timeout_s=8.0)
    message_id = mq.publish_message_to_queue("q", 1, options)
    before = redis.hget("bizzmq:{q}:messages", message_id)
    stop = mq.consume_message_from_queue("q", fail)
    eventually(lambda: mq.stats("q").dead_lettered == 1)
    stop()

    letter = dead_letter(broker, "q", message_id)
    assert letter is not None
    broker.replay(letter.queue, letter.id, letter.priority)

    assert redis.hget("bizzmq:{q}:messages", message_id) == before
    assert look(redis, "q").prioritized == {message_id: 3}


def test_dead_letters_are_listed_oldest_first_from_any_offset(mq: BizzMQ, redis: Redis, broker: Broker) -> None:
    mq.create_queue("q", NO_BACKOFF)
    ids = mq.publish_messages_to_queue("q_dlq", range(5))
    ids += mq.publish_messages_to_queue("q_dlq", range(2), MessageOptions(priority=1))
    ids += mq.publish_messages_to_queue("q_dlq", range(2), MessageOptions(delay_s=60))

    for queue in ("q", "q_dlq"):
        assert [letter.id for letter in dead_letters(broker, queue, 0, 100)] == ids
        assert [letter.id for letter in dead_letters(broker, queue, 3, 5)] == ids[3:8]
    assert dead_letters(broker, "q", 9, 5) == []


def test_a_purge_deletes_up_to_its_limit(mq: BizzMQ, broker: Broker, queue: str) -> None:
    mq.publish_messages_to_queue("q", range(150))

    assert [purge(broker, "q") for _ in range(3)] == [100, 50, 0]
    assert at_rest(mq, "q")


def test_an_implicit_dead_letter_queue_is_listed(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("plain")
    broker.register("plain", "s", "w")
    mq.publish_message_to_queue("plain", 1)
    message_id = broker.claim("plain", "w", 1).entries[0][0]

    broker.dead_letter("plain", "w", message_id, "0 0 0 0", b"{}")

    assert queue_names(broker) == ["plain", "plain_dlq"]
