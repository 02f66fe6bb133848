"""`BizzMQ(encode=...)`: bodies with values that JSON does not have."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Iterator

import pytest

from bizzmq import BizzMQ, ConfigurationError, EncodeError, PayloadTooLargeError


@dataclasses.dataclass
class Point:
    x: int
    at: datetime


class Colour(enum.Enum):
    RED = "red"


AT = datetime(2026, 11, 30, tzinfo=timezone.utc)
asked: list[Any] = []


def plain(value: Any) -> Any:
    asked.append(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set):
        return sorted(value)
    raise TypeError("no idea")


@pytest.fixture
def mq(url: str) -> Iterator[BizzMQ]:
    asked.clear()
    with BizzMQ(url, encode=plain) as client:
        client.create_queue("q")
        yield client


def arrived(mq: BizzMQ) -> list[Any]:
    seen: list[Any] = []
    mq.consume_until_empty("q", seen.append, timeout_s=20)
    return seen


def test_values_that_json_lacks_are_converted_at_any_depth(mq: BizzMQ) -> None:
    mq.publish_message_to_queue("q", {"p": [Point(1, AT)], Colour.RED: Decimal("1.50"), "s": {2, 1}, "t": (True, None)})

    assert arrived(mq) == [
        {"p": [{"x": 1, "at": AT.isoformat()}], "red": "1.50", "s": [1, 2], "t": [True, None]},
    ]


def test_plain_bodies_are_not_converted(mq: BizzMQ) -> None:
    bodies: list[Any] = [{"a": [1, "x", None, 1.5]}, "text", 7, None, (1, 2)]
    mq.publish_messages_to_queue("q", bodies)

    assert arrived(mq) == [{"a": [1, "x", None, 1.5]}, "text", 7, None, [1, 2]]
    assert asked == []


@pytest.mark.parametrize("body", [object(), [1, object()], {"a": {"b": object()}}, {object(): 1}])
def test_a_failed_conversion_publishes_nothing(mq: BizzMQ, body: Any) -> None:
    with pytest.raises(EncodeError, match="encode cannot convert a object: no idea"):
        mq.publish_messages_to_queue("q", [1, body])
    assert mq.stats("q").published == 0


@pytest.mark.parametrize(
    "body", [{Decimal(1): "a", "1": "b"}, {Decimal(1): "a", uuid.UUID(int=0): {Colour.RED: 1, "red": 2}}]
)
def test_no_value_is_lost_when_two_keys_become_equal(mq: BizzMQ, body: Any) -> None:
    with pytest.raises(EncodeError, match=r"encode returns the same key for two keys: '(1|red)'"):
        mq.publish_message_to_queue("q", body)


def test_a_key_that_is_not_a_string_after_conversion_is_named(url: str) -> None:
    with BizzMQ(url, encode=list) as mq, pytest.raises(EncodeError, match=r"returns a list for the key \(1, 2\)"):
        mq.publish_message_to_queue("q", {(1, 2): 3})


def test_an_endless_conversion_is_an_error(url: str) -> None:
    with BizzMQ(url, encode=lambda value: value) as mq:
        mq.create_queue("q")
        with pytest.raises(EncodeError, match="encode returns a object unchanged"):
            mq.publish_message_to_queue("q", object())
    with BizzMQ(url, encode=lambda _value: [object()]) as mq, pytest.raises(EncodeError, match="nested more than 200"):
        mq.publish_message_to_queue("q", object())


def test_limits_apply_to_converted_values(mq: BizzMQ) -> None:
    with pytest.raises(PayloadTooLargeError):
        mq.publish_message_to_queue("q", [Colour.RED, "x" * 2**20])


def test_without_a_conversion_such_values_are_refused(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q")
        with pytest.raises(EncodeError):
            mq.publish_message_to_queue("q", AT)


@pytest.mark.parametrize("wrong", [1, "plain", []])
def test_a_conversion_must_be_a_function(url: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="encode must be a function or None"):
        BizzMQ(url, encode=wrong)
