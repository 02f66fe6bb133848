"""Malformed data in Redis is handled, kept as undecodable, or skipped and counted, and the consumer continues."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, Context, QueueOptions
from bizzmq.admin.dead_letters import dead_letters
from bizzmq.admin.stats import stats
from bizzmq.broker.broker import Broker
from bizzmq.testing.wait import eventually
from tests.scripts.containers import look
from tests.support.recording_handler import RecordingHandler, at_rest, fail

ID = b"0123456789abcABCDEFG"
UNREADABLE = {
    "empty": b"", "no newline": b"1", "no body": b"1\n", "no header": b"\n1", "unknown version": b"2\n1",
    "a version with a sign": b"+1\n1", "two documents": b"1\n1 2", "half a document": b"1\n[1,", "NaN": b"1\nNaN",
    "infinity": b"1\n[-Infinity]", "too deep": b"1\n" + b"[" * 100_000, "invalid UTF-8": b'1\n"\xff"',
    "UTF-16": '1\n"x"'.encode("utf-16"), "binary": bytes(range(256)), "options no JSON": b"1\tx\n1",
    "options no object": b"1\t[]\n1", "too many parts": b"1\t{}\t{}\t{}\n1", "record no object": b"1\t{}\t7\n1",
    "beyond a double": b"1\n[-1e999]", "digits beyond a double": b"1\n" + b"9" * 400 + b".5",
    "record beyond a double": b'1\t{}\t{"x":1e999}\n1',
}  # fmt: skip
ODD_OPTIONS = {
    "time limit a text": b'1\t{"timeout_s":"x"}\n1', "time limit a list": b'1\t{"timeout_s":[1]}\n1',
    "time limit negative": b'1\t{"timeout_s":-1}\n1', "retries a text": b'1\t{"retries":"x"}\n1',
    "retries a list": b'1\t{"retries":[]}\n1', "retries negative": b'1\t{"retries":-1}\n1',
    "retries endless": b'1\t{"retries":1e999}\n1', "priority a text": b'1\t{"priority":"x"}\n1',
    "unknown option": b'1\t{"colour":"red"}\n1',
}  # fmt: skip
ODD_ATTEMPTS = [
    "",
    "x",
    "1 2",
    "-1 0 0 0",
    "a b c d",
    "0 0 0 0 0",
    "+0 0 0 0",
    "00 0 0 0",
    "0 0 0 1.5",
    "0_0 0 0 0",
    "\xff",
]
FORGED_IDS = [b"x", b"", b"a b", b"a\nb", b"{}", b"*", b"\xff\xfe", b"\x00", b"x" * 10_000, "é".encode()]


def plant(redis: Redis, envelope: bytes | None, message_id: bytes = ID, attempts: str | None = None) -> None:
    """Write a message into the queue `q` without the library."""
    if envelope is not None:
        redis.hset("bizzmq:{q}:messages", message_id, envelope)
    if attempts is not None:
        redis.hset("bizzmq:{q}:attempts", message_id, attempts.encode("latin-1"))
    redis.lpush("bizzmq:{q}:waiting", message_id)


def fail_all_but_good(body: Any, context: Context) -> None:
    if body != "good":
        fail(body, context)


def consume_and_rest(mq: BizzMQ, handler: Any) -> None:
    """Check that a valid message behind the planted one is handled and nothing is left to do."""
    mq.publish_message_to_queue("q", "good")
    mq.consume_message_from_queue("q", handler)
    eventually(lambda: at_rest(mq, "q"), 30.0, lambda: f"rest, there is {mq.stats('q')}")


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_undecodable_message_is_kept_with_any_queue_options(
    mq: BizzMQ, redis: Redis, broker: Broker, name: str
) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=False))
    plant(redis, UNREADABLE[name])
    seen = RecordingHandler()

    consume_and_rest(mq, seen)

    assert seen.bodies == ["good"]
    (letter,) = dead_letters(broker, "q", 0, 10)
    assert letter.id == ID.decode()
    body = UNREADABLE[name].partition(b"\n")[2]
    assert letter.envelope.endswith(body)
    if b"\n" in UNREADABLE[name]:
        assert b'"error_type":"DecodeError"' in letter.envelope
    assert (mq.stats("q").dead_lettered, mq.stats("q").discarded) == (1, 0)


def test_an_undecodable_message_is_parked_in_the_dead_letter_queue(mq: BizzMQ, redis: Redis, queue: str) -> None:
    plant(redis, UNREADABLE["unknown version"])
    consume_and_rest(mq, RecordingHandler())
    seen = RecordingHandler()
    mq.publish_message_to_queue("q_dlq", "good")

    mq.consume_message_from_queue("q_dlq", seen)

    eventually(lambda: at_rest(mq, "q_dlq"))
    assert seen.bodies == ["good"]
    assert look(redis, "q_dlq").parked == (ID.decode(),)


@pytest.mark.parametrize("handler", [RecordingHandler(), fail_all_but_good], ids=["succeeds", "fails"])
@pytest.mark.parametrize("name", ODD_OPTIONS)
def test_invalid_stored_options_do_not_end_the_consumer(
    mq: BizzMQ, redis: Redis, queue: str, name: str, handler: Any
) -> None:
    plant(redis, ODD_OPTIONS[name])

    consume_and_rest(mq, handler)

    counted = mq.stats("q")
    assert counted.acked + counted.dead_lettered == 2


@pytest.mark.parametrize("handler", [RecordingHandler(), fail_all_but_good], ids=["succeeds", "fails"])
@pytest.mark.parametrize("attempts", ODD_ATTEMPTS)
def test_invalid_stored_counts_end_neither_message_nor_consumer(
    mq: BizzMQ, redis: Redis, queue: str, attempts: str, handler: Any
) -> None:
    plant(redis, b"1\n1", attempts=attempts)

    consume_and_rest(mq, handler)

    counted = mq.stats("q")
    assert counted.acked + counted.dead_lettered == 2


@pytest.mark.parametrize("handler", [RecordingHandler(), fail_all_but_good], ids=["succeeds", "fails"])
@pytest.mark.parametrize("message_id", FORGED_IDS)
def test_a_forged_id_with_a_good_envelope_is_handled_or_kept(
    mq: BizzMQ, redis: Redis, queue: str, message_id: bytes, handler: Any
) -> None:
    plant(redis, b"1\n1", message_id)

    consume_and_rest(mq, handler)

    counted = mq.stats("q")
    assert counted.acked + counted.dead_lettered == 2


@pytest.mark.parametrize("message_id", FORGED_IDS)
def test_an_id_without_an_envelope_is_skipped_and_counted(
    mq: BizzMQ, redis: Redis, broker: Broker, queue: str, message_id: bytes
) -> None:
    plant(redis, None, message_id)
    seen = RecordingHandler()

    consume_and_rest(mq, seen)

    assert seen.bodies == ["good"]
    assert stats(broker, "q").dead_lettered == 0
    assert redis.hget("bizzmq:{q}:stats", "missing") == "1"


@pytest.mark.parametrize("place", ["waiting", "delayed", "prioritized", "processing:w1"])
def test_a_duplicate_id_is_handled_and_nothing_remains(mq: BizzMQ, redis: Redis, queue: str, place: str) -> None:
    (message_id,) = mq.publish_messages_to_queue("q", ["twice"])
    if place in ("delayed", "prioritized"):
        redis.zadd(f"bizzmq:{{q}}:{place}", {message_id: 0})
    else:
        redis.lpush(f"bizzmq:{{q}}:{place}", message_id)
    seen = RecordingHandler()

    mq.consume_message_from_queue("q", seen)

    eventually(lambda: len(seen.bodies) >= 1 and look(redis, "q").waiting == ())
    assert set(seen.bodies) == {"twice"}
