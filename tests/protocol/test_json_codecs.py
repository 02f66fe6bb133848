"""msgspec, where it is installed, reads, writes and refuses the same as the standard library."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from typing import Any, Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bizzmq.errors import DecodeError, EncodeError
from bizzmq.protocol import json_codec
from bizzmq.protocol.json_codecs import stdlib as json_stdlib
from tests.protocol.test_bodies import SPECIAL, json_values, same, texts
from tests.support.examples import examples

codec_msgspec = pytest.importorskip(
    "bizzmq.protocol.json_codecs.with_msgspec",
    reason="the extra `speed` (msgspec) is not installed, or is too old",
    exc_type=ImportError,
)
often = settings(max_examples=examples(500), deadline=None, database=None)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Number(float):
    pass


class Mapping(dict):  # type: ignore[type-arg]
    pass


@dataclass
class Point:
    x: int = 1


OTHERS: dict[str, Any] = {
    "bytes": b"x", "a set": {1}, "a date": dt.date(2026, 1, 1),
    "a moment": dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
    "a UUID": uuid.UUID(int=1), "a decimal": decimal.Decimal("1.5"), "a dataclass": Point(), "an enum": Colour.RED,
    "an integer enum": Level.LOW, "a text of its own": Text("x"), "a number of its own": Number(1.5),
    "a mapping of its own": Mapping(a=1), "a tuple": (1, (2,)), "NaN": float("nan"), "infinity": float("inf"),
    "a key of its own": {Text("x"): 1}, "a number as key": {1: 2}, "an enum as key": {Level.LOW: 1},
    "an endless integer": 10**5000, "2^64": 2**64, "-2^63-1": -(2**63) - 1, "1e16": 1e16, "1e-5": 1e-5,
    "9999999999999998.0": 9999999999999998.0, "0.0001": 0.0001,
}  # fmt: skip
DOCUMENTS = [
    b"", b" 1 ", b"1 2", b"-0", b"-0.0", b"1e400", b"-1e400", b"1e-400", b"NaN", b"Infinity", b"01", b"1.", b".5", b"-",
    b'"\\ud800"', b'"\\ud800\\u0041"', b'"\\ud83d\\ude00"', b'"\x01"', b'"\x7f"', b'"\xff"', b'"\xed\xa0\x80"', b"[1,]",
    b'{"a":1,"a":2}', b"1" * 5000, b"18446744073709551616", b"\xef\xbb\xbf1", b"[" * 2000 + b"]" * 2000, b"nul",
    b"\x0c1",
    b'{"a" : [ 1 , 2 ]\r\n}', b"123456789012345678901234567890.5", b"2.2250738585072011e-308",
]  # fmt: skip


def outcome(action: Callable[[], Any]) -> str:
    """The exact result of a call, or only the class of its error, because each library has its own error texts."""
    try:
        return repr(action())
    except (EncodeError, DecodeError) as error:
        return type(error).__name__


def test_it_is_used_where_it_is_installed() -> None:
    assert (json_codec.NAME, json_codec.dumps, json_codec.loads) == (
        "msgspec",
        codec_msgspec.dumps,
        codec_msgspec.loads,
    )


@pytest.mark.parametrize("value", [*OTHERS.values(), *SPECIAL.values()], ids=[*OTHERS, *SPECIAL])
@pytest.mark.parametrize("around", [lambda value: value, lambda value: [value], lambda value: {"a": {"b": value}}],
                         ids=["alone", "in a list", "in a mapping"])  # fmt: skip
def test_special_values_are_written_or_refused_equally(value: Any, around: Callable[[Any], Any]) -> None:
    body = around(value)

    assert outcome(lambda: codec_msgspec.dumps(body)) == outcome(lambda: json_stdlib.dumps(body))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: repr(document[:30]))
def test_special_documents_are_read_or_refused_equally(document: bytes) -> None:
    assert outcome(lambda: codec_msgspec.loads(document)) == outcome(lambda: json_stdlib.loads(document))


@often
@given(json_values | st.floats() | st.lists(st.floats()) | st.dictionaries(texts, st.floats()))
def test_any_value_is_written_equally(value: Any) -> None:
    assert outcome(lambda: codec_msgspec.dumps(value)) == outcome(lambda: json_stdlib.dumps(value))


@often
@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_any_document_is_read_equally(value: Any, ascii_only: bool, indent: int | None) -> None:
    try:
        data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:
        data = json.dumps(value, indent=indent).encode()

    read = codec_msgspec.loads(data)

    assert same(read, json_stdlib.loads(data))


@often
@given(st.binary() | st.lists(st.sampled_from(DOCUMENTS)).map(b"".join) | st.text("0123456789eE+-.").map(str.encode))
@example(b'"\\u')
def test_any_bytes_are_read_or_refused_equally(data: bytes) -> None:
    assert outcome(lambda: codec_msgspec.loads(data)) == outcome(lambda: json_stdlib.loads(data))
