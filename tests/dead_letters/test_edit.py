"""Edited replays: one step, one message, and nothing unless it is valid."""

from __future__ import annotations

import threading
from typing import Any, Dict

import pytest
from redis import Redis

from bizzmq import (
    BizzMQ,
    ConfigurationError,
    EncodeError,
    MessageOptions,
    PayloadTooLargeError,
    QueueOptions,
    SignatureError,
)
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys
from tests.dead_letters.letters import bury, record
from tests.scripts.containers import everything
from tests.support.recording_handler import RecordingHandler

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def queue(mq: BizzMQ) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
    return "q"


def fail(_body: Any) -> None:
    raise ValueError("no")


def test_an_edited_letter_runs_under_its_id_with_what_was_changed(mq: BizzMQ, queue: str) -> None:
    options = MessageOptions(priority=3, headers={"trace": "t1"}, key="acme", retries=0)
    message_id = mq.publish_message_to_queue(queue, {"to": "nobody"}, options)
    mq.consume_until_empty(queue, fail)

    replayed = mq.replay(queue, message_id, body={"to": "ada"}, options={"priority": -2, "key": None, "retries": 5})

    (waiting,) = mq.messages(queue).messages
    assert (replayed, waiting.id, waiting.place, waiting.priority) == (1, message_id, "prioritized", -2)
    seen = RecordingHandler()
    mq.consume_until_empty(queue, seen)
    (context,) = seen.contexts
    assert (seen.bodies, context.headers, context.key, context.delivery) == (
        [{"to": "ada"}], {"trace": "t1"}, "", 1,
    )  # fmt: skip
    counts = mq.stats(queue)
    assert (counts.acked, counts.replayed, counts.dead_lettered, counts.unaccounted) == (1, 1, 0, 0)


def test_null_is_a_body(mq: BizzMQ, redis: Redis, queue: str) -> None:
    (one,) = bury(redis, record())

    assert mq.replay(queue, one, body=None) == 1
    assert mq.messages(queue).messages[0].message == (one, queue, None, None, None, 0, None, None)


def test_what_an_edit_does_not_know_stays(mq: BizzMQ, redis: Redis, queue: str) -> None:
    (one,) = bury(redis, record(), newer_option={"a": 1}, key="acme")

    assert mq.replay(queue, one, options={"priority": 1}) == 1

    stored = redis.hget(Keys(queue).messages, one)
    assert stored == '1\t{"newer_option":{"a":1},"key":"acme","priority":1}\n{"n":0}'


INVALID: Dict[str, Any] = {
    "a body that is no JSON": ({"body": {1, 2}}, EncodeError),
    "a body that is too large": ({"body": "x" * 2**20}, PayloadTooLargeError),
    "an unknown option": ({"options": {"priorty": 1}}, ConfigurationError),
    "a wrong value": ({"options": {"priority": "high"}}, ConfigurationError),
    "a wrong type": ({"options": [1]}, ConfigurationError),
    "a value that is no JSON": ({"options": {"headers": {"a": b"x"}}}, (ConfigurationError, EncodeError)),
    "an option of the signature": ({"options": {"sig": "x"}}, ConfigurationError),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_edit_changes_nothing(mq: BizzMQ, redis: Redis, queue: str, name: str) -> None:
    given, kind = INVALID[name]
    (one,) = bury(redis, record())
    before = everything(redis)

    with pytest.raises(kind):
        mq.replay(queue, one, **given)

    assert everything(redis) == before


@pytest.mark.parametrize("envelope", ["", "no header", "2\t{}\n1", "1\t[]\t{}\n1", "1\t{x}\n1"])
def test_a_letter_without_a_header_cannot_be_edited(mq: BizzMQ, redis: Redis, queue: str, envelope: str) -> None:
    (one,) = bury(redis, record())
    redis.hset(Keys("q_dlq").messages, one, envelope)

    with pytest.raises(ConfigurationError, match="cannot be edited"):
        mq.replay(queue, one, body=1)
    with pytest.raises(ConfigurationError, match="cannot be edited"):
        mq.replay(queue, one, options={"priority": 1})

    assert mq.stats(queue).dead_lettered == 1


def test_several_people_edit_one_letter_and_one_of_them_replays_it(
    mq: BizzMQ, url: str, redis: Redis, queue: str
) -> None:
    for _ in range(20):
        (one,) = bury(redis, record())
        counts: list[int] = []
        threads = [threading.Thread(target=replay_as, args=(url, one, number, counts)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(counts) == [0, 0, 1]
        (waiting,) = mq.messages(queue).messages
        assert waiting.body in (0, 1, 2)
        invariants.check_one_place(redis, queue)
        mq.purge(queue)


def replay_as(url: str, message_id: str, body: int, counts: list[int]) -> None:
    with BizzMQ(url) as other:
        counts.append(other.replay("q", message_id, body=body))


def test_an_edit_is_signed_and_runs_where_only_signed_messages_do(url: str, queue: str) -> None:
    with BizzMQ(url, signing_keys=[KEY]) as signed:
        one = signed.publish_message_to_queue(queue, 1, MessageOptions(headers={"a": "b"}))
        signed.consume_until_empty(queue, fail)

        assert signed.replay(queue, one, body=2) == 1

        seen = RecordingHandler()
        signed.consume_until_empty(queue, seen)
        assert seen.bodies == [2]
        assert seen.contexts[0].headers == {"a": "b"}


def test_an_edit_vouches_for_no_letter_that_others_have_forged(mq: BizzMQ, url: str, redis: Redis, queue: str) -> None:
    (forged,) = bury(redis, record("UnsignedError"), task="admin")
    with BizzMQ(url, signing_keys=[OTHER]) as others:
        theirs = others.publish_message_to_queue(queue, 1)
        others.consume_until_empty(queue, fail)
    before = everything(redis)

    with BizzMQ(url, signing_keys=[KEY]) as signed:
        for one in (forged, theirs):
            with pytest.raises(SignatureError):
                signed.replay(queue, one, body=2)
    with pytest.raises(ConfigurationError, match="needs a signing key"):
        mq.replay(queue, theirs, body=2)

    assert everything(redis) == before
