"""A body has at most 200 levels of nesting: checked at a publish, and a deeper stored body ends no consumer."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from typing import Any, Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from bizzmq import BizzMQ, DecodeError, EncodeError, MessageOptions
from bizzmq.protocol import json_codec
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.envelope import decode_body, decode_envelope, encode_body
from bizzmq.protocol.json_codecs import stdlib as json_stdlib
from bizzmq.protocol.json_codecs.stdlib import dumps as standard_dumps
from bizzmq.protocol.nesting import MAX_DEPTH, is_deep, is_deep_value
from bizzmq.testing.wait import eventually
from tests.consumer.test_malformed import plant
from tests.protocol.test_bodies import json_values
from tests.support.examples import examples
from tests.support.recording_handler import RecordingHandler, at_rest

WRAPPINGS: dict[str, Callable[[Any, int], Any]] = {
    "lists": lambda inner, _: [inner],
    "tuples": lambda inner, _: (inner,),
    "objects": lambda inner, _: {"k": inner},
    "mixed": lambda inner, level: ([inner], (inner,), {"k": inner})[level % 3],
    "beside brackets in texts": lambda inner, _: ["]}]}", inner, "[{"],
    "beside quotes and backslashes": lambda inner, _: {'\\"[': '"\\\\', "k": inner, "\\": "\\\\\\"},
}
OPENED = {"[": "]", '{"a":': "}"}


def nested(wrapping: str, depth: int) -> Any:
    value: Any = WRAPPINGS[wrapping](0, 0)
    for level in range(1, depth):
        value = WRAPPINGS[wrapping](value, level)
    return value


@pytest.fixture(params=["as installed", "standard library"])
def written_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "standard library":
        monkeypatch.setattr(json_codec, "dumps", standard_dumps)
        monkeypatch.setattr(json_codec, "loads", json_stdlib.loads)
    return str(request.param)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_limit_is_exact(written_by: str, wrapping: str) -> None:
    deepest = nested(wrapping, MAX_DEPTH)

    data = encode_body(deepest)

    assert decode_envelope("id", "q", b"1\n" + data).body == decode_body(data) == json.loads(json.dumps(deepest))
    with pytest.raises(EncodeError, match=r"^the message is nested more than 200 levels deep"):
        encode_body([deepest])


@pytest.mark.parametrize("depth", [201, 300, 988, 1000, 5000, 100_000])
@pytest.mark.parametrize("wrapping", ["lists", "mixed"])
def test_deeper_nesting_is_refused_with_the_reason(written_by: str, wrapping: str, depth: int) -> None:
    with pytest.raises(EncodeError, match=r"^the message is nested more than 200 levels deep"):
        encode_body(nested(wrapping, depth))


def test_a_body_that_contains_itself_is_refused(written_by: str) -> None:
    cycle: dict[str, Any] = {}
    cycle["again"] = [cycle]

    with pytest.raises(EncodeError, match="nested more than 200 levels deep, or contains itself"):
        encode_body(cycle)


@pytest.fixture
def without_finalizers() -> Iterator[None]:
    """CPython 3.8 aborts if a finalizer goes deep near the recursion limit."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_finalizers")
def test_a_flat_body_is_accepted_from_a_deep_call_stack(written_by: str) -> None:
    def at_the_end_of_the_stack() -> str:
        try:
            return at_the_end_of_the_stack()
        except RecursionError:
            try:
                json_codec.dumps([[[[[1]]]]])
            except EncodeError as error:
                return str(error)
            raise

    try:
        reported = at_the_end_of_the_stack()
    except RecursionError:
        reported = ""
    assert "200" not in reported


def test_many_brackets_are_not_deep(written_by: str) -> None:
    for flat in (
        [[]] * 1000,
        [{"a": [1]}] * 300,
        "[" * 1000,
        {"[{" * 300: "\\" * 99},
        ["\\", "[" * 300, '"', "{" * 300],
    ):
        assert decode_body(encode_body(flat)) == flat


@settings(max_examples=examples(300), deadline=None, database=None)
@given(json_values, st.integers(0, 30))
def test_the_depth_of_json_text_is_that_of_its_value(value: Any, more: int) -> None:
    for _ in range(more):
        value = [value, "]"]
    lower = 12
    text = json_codec.dumps(value)
    for _ in range(MAX_DEPTH - lower):  # from here on the limit can be reached
        text = b"[" + text + b"]"
        value = [value]

    assert is_deep(text) == is_deep_value(value) == (_depth(value) > MAX_DEPTH)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@pytest.mark.parametrize("depth", [201, 988, 2000, 100_000])
@pytest.mark.parametrize("opening", OPENED)
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "cut"])
def test_a_deeper_stored_body_is_a_decode_error(written_by: str, opening: str, depth: int, is_whole: bool) -> None:
    text = (opening * depth + "0" + (OPENED[opening] * depth if is_whole else "")).encode()

    for envelope in (b"1\n" + text, b'1\t{"priority":1}\n' + text, b"1\t{}\t" + text + b"\n1", b"1\t" + text + b"\n1"):
        with pytest.raises(DecodeError):
            decode_envelope("id", "q", envelope)
    with pytest.raises(DecodeError):
        decode_body(text)
    assert Attempts(last_crash=text.decode()).last_crash_record() is None


def test_a_raised_recursion_limit_causes_no_crash() -> None:
    program = """if True:
        import sys
        from bizzmq import DecodeError
        from bizzmq.protocol.attempts import Attempts
        from bizzmq.protocol.envelope import decode_envelope
        sys.setrecursionlimit(10**6)
        text = b"[" * 100_000
        for envelope in (b"1\\n" + text, b'1\\t{"priority":1}\\n' + text, b"1\\t{}\\t" + text + b"\\n1"):
            try:
                decode_envelope("id", "q", envelope)
            except DecodeError as error:
                print(error)
        print(Attempts(last_crash=text.decode()).last_crash_record())
        """
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout.decode().splitlines()) == (
        0,
        ["JSON nested more than 200 levels deep"] * 3 + ["None"],
    )


def test_a_consumer_handles_the_deepest_body_and_keeps_deeper_ones(mq: BizzMQ, redis: Redis, queue: str) -> None:
    deepest = nested("lists", MAX_DEPTH)
    seen = RecordingHandler()
    for number, depth in enumerate((201, 988, 100_000)):
        plant(redis, b"1\n" + b"[" * depth + b"]" * depth, b"0123456789abcABCDEF%d" % number)
    mq.publish_message_to_queue("q", deepest, MessageOptions(priority=1))
    mq.publish_message_to_queue("q", deepest)

    mq.consume_message_from_queue("q", seen)

    eventually(lambda: at_rest(mq, "q"))
    assert seen.bodies == [deepest, deepest]
    assert mq.stats("q").dead_lettered == 3


def test_one_body_that_is_too_deep_prevents_the_whole_publish(mq: BizzMQ, queue: str) -> None:
    with pytest.raises(EncodeError, match="200 levels"):
        mq.publish_messages_to_queue("q", [1, nested("objects", 201), 2])

    assert mq.stats("q").published == 0
