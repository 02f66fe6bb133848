"""A body can be any JSON value and arrives as it was published."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.broker.broker import Broker
from bizzmq.errors import DecodeError
from bizzmq.protocol import json_codec
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES, decode_envelope
from tests.support.examples import examples
from tests.support.recording_handler import RecordingHandler

SPECIAL: dict[str, Any] = {
    "empty": "", "null": None, "false": False, "true": True, "zero": 0, "minus zero": -0.0, "empty list": [],
    "empty object": {}, "empty key": {"": ""}, "NUL": "a\x00b", "braces and stars": "{}:*{q}%s", "newlines": "a\nb\r\n",
    "a header": '1\t{"retries":9}\n2', "tabs": "\t\t", "unicode": "é漢字😀\u2028\x85\ufeff", "lone high": "\ud800",
    "lone low": {"\udfff": "x\udc00"}, "lone and others": "é\ud800é", "controls": "".join(map(chr, range(32))),
    "large integer": 10**400, "small float": 5e-324, "large float": 1.7976931348623157e308, "a tenth": 0.1,
    "quotes": '"\\"', "nested": [[[{"a": [{"b": None}]}]]], "order of keys": {"b": 1, "a": 2},
}  # fmt: skip
PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
texts = st.text(st.characters(blacklist_categories=()) | st.characters(whitelist_categories=("Cs",))).filter(
    lambda text: (
        not PAIR.search(text)
    )  # escaped in JSON, such a pair cannot be distinguished from the character that it encodes
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)
quickly = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


def same(one: Any, other: Any) -> bool:
    """Equal in value, type and order: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_values_arrive_as_published(mq: BizzMQ, queue: str, name: str) -> None:
    seen = RecordingHandler()
    mq.publish_message_to_queue("q", SPECIAL[name])

    mq.consume_message_from_queue("q", seen)

    assert same(seen.wait(1)[0], SPECIAL[name])


def test_any_value_arrives_as_published(mq: BizzMQ, broker: Broker, queue: str) -> None:
    broker.register("q", "s", "w")

    # Claimed here and not by a consumer, whose threads draw random numbers that hypothesis would use as its own.
    @quickly
    @given(json_values)
    def check(value: Any) -> None:
        message_id = mq.publish_message_to_queue("q", value)
        ((claimed_id, envelope, _),) = broker.claim("q", "w", 1).entries
        broker.claim("q", "w", 0, [claimed_id])
        assert claimed_id.decode() == message_id
        assert same(decode_envelope(message_id, "q", envelope).body, value)

    check()


@settings(max_examples=examples(200), deadline=None, database=None)
@given(json_values)
def test_a_body_is_stored_as_the_standard_library_writes_it(value: Any) -> None:
    try:
        plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        plain = json.dumps(value, separators=(",", ":")).encode()

    assert json_codec.dumps(value) == plain


@settings(max_examples=examples(200), deadline=None, database=None)
@given(json_values)
def test_the_codec_reads_what_it_writes(value: Any) -> None:
    data = json_codec.dumps(value)

    assert same(json_codec.loads(data), value)
    assert b"\n" not in data
    assert b"\t" not in data


@settings(max_examples=examples(200), deadline=None, database=None)
@given(st.binary())
def test_the_codec_refuses_other_bytes_with_its_own_error(data: bytes) -> None:
    try:
        json_codec.loads(data)
    except DecodeError:
        pass


def test_a_tuple_arrives_as_a_list(mq: BizzMQ, queue: str) -> None:
    seen = RecordingHandler()
    mq.publish_message_to_queue("q", {"pair": (1, 2)})

    mq.consume_message_from_queue("q", seen)

    assert seen.wait(1) == [{"pair": [1, 2]}]


@pytest.mark.parametrize("size_bytes", [2, 3, 1024 * 1024 - 1, MAX_PAYLOAD_BYTES])
def test_every_size_up_to_the_limit_arrives(mq: BizzMQ, redis: Redis, queue: str, size_bytes: int) -> None:
    text = "x" * (size_bytes - len('""'))
    seen = RecordingHandler()
    message_id = mq.publish_message_to_queue("q", text)
    assert redis.hstrlen("bizzmq:{q}:messages", message_id) == len("1\n") + size_bytes

    mq.consume_message_from_queue("q", seen)

    assert seen.wait(1) == [text]


def test_the_limit_counts_bytes_not_characters(mq: BizzMQ, queue: str) -> None:
    mq.publish_message_to_queue("q", "é" * (MAX_PAYLOAD_BYTES // 2 - 1))

    with pytest.raises(ValueError, match=str(MAX_PAYLOAD_BYTES)):
        mq.publish_message_to_queue("q", "é" * (MAX_PAYLOAD_BYTES // 2))
