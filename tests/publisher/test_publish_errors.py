"""An invalid publish raises its own error and leaves nothing in Redis."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, BizzMQError, EncodeError, MessageOptions, PayloadTooLargeError, QueueNotFoundError
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES
from tests.scripts.containers import everything


def cycle() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


NOT_JSON: dict[str, Any] = {
    "NaN": float("nan"), "infinity": [float("inf")], "minus infinity": {"a": -float("inf")}, "a set": {1, 2},
    "bytes": b"x", "an object": object(), "a number as key": {1: 2}, "None as key": [{None: 1}],
    "a key deep inside": {"a": [({"b": {(1, 2): 3}},)]}, "a cycle": cycle(), "too deep": nested(100_000),
    "complex": 1j, "a class": int,
}  # fmt: skip
TOO_LARGE = "x" * (MAX_PAYLOAD_BYTES - 1)


@pytest.mark.parametrize("options", [MessageOptions(), MessageOptions(priority=1), MessageOptions(delay_s=1)], ids=str)
def test_a_missing_queue_is_refused(mq: BizzMQ, redis: Redis, options: MessageOptions) -> None:
    with pytest.raises(QueueNotFoundError, match="create_queue") as missing:
        mq.publish_message_to_queue("nowhere", 1, options)
    with pytest.raises(QueueNotFoundError):
        mq.publish_messages_to_queue("nowhere", range(250), options)

    assert isinstance(missing.value, ValueError)
    assert missing.value.queue == "nowhere"
    assert everything(redis) == {}


@pytest.mark.parametrize("name", NOT_JSON)
def test_a_message_that_is_not_json_is_refused(mq: BizzMQ, redis: Redis, queue: str, name: str) -> None:
    before = everything(redis)

    with pytest.raises(EncodeError) as refused:
        mq.publish_message_to_queue("q", NOT_JSON[name])

    assert isinstance(refused.value, (ValueError, BizzMQError))
    assert everything(redis) == before


def test_a_message_above_the_limit_is_refused(mq: BizzMQ, redis: Redis, queue: str) -> None:
    before = everything(redis)

    with pytest.raises(PayloadTooLargeError) as refused:
        mq.publish_message_to_queue("q", TOO_LARGE)

    assert isinstance(refused.value, ValueError)
    assert (refused.value.size_bytes, refused.value.limit_bytes) == (MAX_PAYLOAD_BYTES + 1, MAX_PAYLOAD_BYTES)
    assert everything(redis) == before


@pytest.mark.parametrize(("bad", "error"), [(b"", EncodeError), (TOO_LARGE, PayloadTooLargeError)])
def test_one_bad_message_among_many_publishes_none(
    mq: BizzMQ, redis: Redis, queue: str, bad: Any, error: type[Exception]
) -> None:
    before = everything(redis)

    with pytest.raises(error):
        mq.publish_messages_to_queue("q", [*range(249), bad])

    assert everything(redis) == before


def test_an_iterable_that_raises_publishes_nothing(mq: BizzMQ, redis: Redis, queue: str) -> None:
    before = everything(redis)

    with pytest.raises(ZeroDivisionError):
        mq.publish_messages_to_queue("q", (1 // (200 - number) for number in range(300)))

    assert everything(redis) == before


def test_an_error_does_not_affect_the_next_publish(mq: BizzMQ, queue: str) -> None:
    with pytest.raises(EncodeError):
        mq.publish_message_to_queue("q", {1: 1})
    with pytest.raises(QueueNotFoundError):
        mq.publish_message_to_queue("nowhere", 1)

    mq.publish_message_to_queue("q", 1)

    assert mq.stats("q").published == 1
