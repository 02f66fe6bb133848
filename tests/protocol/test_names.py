"""Ids, key names, envelopes: small grammars."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq import ConfigurationError, DecodeError, MessageOptions
from bizzmq.properties import MessageProperties
from bizzmq.protocol import envelope
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.envelope import decode_envelope, encode_body, encode_header
from bizzmq.protocol.ids import MessageIds, host_name, is_message_id, nonce, published_us, supervisor_id, worker_id
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils.clock import AGE_S, ServerClock

NOW_US = 1_800_000_000_123_456


def test_ids_sort_by_time_and_increase_even_when_the_clock_does_not() -> None:
    ids = MessageIds("abcdefg")
    taken = ids.take(NOW_US, 3) + ids.take(NOW_US, 2) + ids.take(NOW_US - 10**6, 2) + ids.take(NOW_US + 10**6, 1)

    assert taken == sorted(taken)
    assert len(set(taken)) == 8
    assert {len(message_id) for message_id in taken} == {20}
    assert (published_us(taken[0]), published_us(taken[-1])) == (NOW_US, NOW_US + 10**6)


def test_ids_sort_by_time_across_publishers() -> None:
    early, late = MessageIds("zzzzzzz").take(NOW_US, 1), MessageIds("0000000").take(NOW_US + 1, 1)

    assert early < late


def test_all_names_are_different() -> None:
    supervisors = {supervisor_id() for _ in range(100)}
    workers = {worker_id("s", 1) for _ in range(100)}

    assert len(supervisors) == 100
    assert len(workers) > 98
    assert len({nonce() for _ in range(1000)}) == 1000
    assert all(name.startswith(host_name() + ":") for name in supervisors)


@pytest.mark.parametrize("text", ["", "x", "not an id"])
def test_an_invalid_id_has_no_publish_time(text: str) -> None:
    with pytest.raises(DecodeError):
        published_us(text)


def test_only_generated_ids_are_message_ids() -> None:
    (good,) = MessageIds("aZ09bcd").take(NOW_US, 1)
    raw = good.encode()

    assert is_message_id(raw)
    for bad in (
        b"",
        raw[:-1],
        raw + b"x",
        raw + b"\n",
        raw.upper(),
        b"\xff" + raw[1:],
        raw[:-1] + b"_",
        raw[:-1] + b"\0",
    ):
        assert not is_message_id(bad), bad


def test_the_servers_clock_advances_between_two_readings() -> None:
    now_s = [10.0]
    clock = ServerClock(lambda: now_s[0])
    assert clock.is_due()
    with pytest.raises(RuntimeError):
        clock.micros()

    clock.sync(1_800_000_000, 250_000)
    now_s[0] = 12.5

    assert not clock.is_due()
    assert clock.micros() == 1_800_000_002_750_000


def test_the_servers_clock_is_read_again_by_age_and_at_a_new_connection() -> None:
    now_s = [10.0]
    clock = ServerClock(lambda: now_s[0])
    clock.sync(1_800_000_000, 0)

    now_s[0] += AGE_S + 0.1
    assert clock.is_due()

    clock.sync(1_800_000_600, 0)
    assert (clock.is_due(), clock.micros()) == (False, 1_800_000_600_000_000)
    clock.invalidate()
    assert (clock.is_due(), clock.micros()) == (True, 1_800_000_600_000_000)


def test_ids_follow_a_clock_that_was_set_back_and_stay_unique() -> None:
    ids = MessageIds("0000000")
    before = ids.take(NOW_US, 3)

    after = ids.take(NOW_US - 600_000_000, 3)

    assert published_us(after[0]) == NOW_US - 600_000_000
    assert {an_id[13:] for an_id in before}.isdisjoint(an_id[13:] for an_id in after)


def test_a_dead_letter_queue_shares_the_hash_tag_of_its_queue() -> None:
    own, dead = QueueKeys("q"), QueueKeys("q_dlq")

    assert (own.meta, dead.meta) == ("bizzmq:{q}:meta", "bizzmq:{q}:dlq:meta")
    assert (own.is_dead_letter_queue, dead.is_dead_letter_queue) == (False, True)
    assert own.dead_letters().messages == dead.messages
    assert dead.dead_letters() is dead
    assert (own.owner, dead.owner) == ("q", "q")
    assert dead.processing("w") == "bizzmq:{q}:dlq:processing:w"


@pytest.mark.parametrize(
    "name", ["", "_dlq", "a b", "a{b", "a}b", "a:b", "a\n", "\x00", "é", "x" * 129, "a_dlq_dlq", None]
)
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="queue name"):
        QueueKeys(name)


@pytest.mark.parametrize(
    ("options", "header"),
    [
        (MessageOptions(), b"1\n"),
        (MessageOptions(delay_s=5), b"1\n"),
        (MessageOptions(priority=-(2**53)), b'1\t{"priority":-9007199254740992}\n'),
        (MessageOptions(retries=0), b'1\t{"retries":0}\n'),
        (MessageOptions(priority=1, retries=2, timeout_s=0.5), b'1\t{"priority":1,"retries":2,"timeout_s":0.5}\n'),
    ],
)
def test_an_envelope_starts_with_the_options_that_are_not_default(options: MessageOptions, header: bytes) -> None:
    assert encode_header(options) == header

    message = decode_envelope("id", "q", header + encode_body({"a": [1]}))

    assert message.body == {"a": [1]}
    assert (message.priority, message.retries, message.timeout_s) == (
        options.priority,
        options.retries,
        options.timeout_s,
    )
    assert message.error is None


def test_an_envelope_of_a_dead_letter_holds_its_error() -> None:
    message = decode_envelope("id", "q_dlq", b'1\t{"retries":1}\t{"error":"e"}\n7')

    assert (message.body, message.retries, message.error) == (7, 1, {"error": "e"})


def test_a_header_that_was_decoded_before_gives_each_message_its_own_body_and_error() -> None:
    options = b'1\t{"priority":3,"task":"t","result_ttl_s":5.0}'
    of_a_task = [decode_envelope(f"id{n}", "q", options + b"\n%d" % n) for n in range(3)]
    dead_letters = [decode_envelope("id", "q_dlq", options + b'\t{"error":"%d"}\n0' % n) for n in range(2)]

    assert [(message.id, message.body) for message in of_a_task] == [("id0", 0), ("id1", 1), ("id2", 2)]
    assert {message.error for message in of_a_task} == {None}
    assert [message.error for message in dead_letters] == [{"error": "0"}, {"error": "1"}]
    for message in of_a_task + dead_letters:
        assert (message.priority, message.properties) == (3, MessageProperties("t", 1, 5.0))
    with pytest.raises(DecodeError, match="unknown envelope header"):
        decode_envelope("id", "q", options)


def test_forged_headers_do_not_fill_the_memory() -> None:
    for n in range(3000):
        decode_envelope("id", "q", b'1\t{"task":"t%d"}\n0' % n)
        decode_envelope("id", "q", b'1\t{"task":"t","more":"%s%d"}\n0' % (b"x" * 1000, n))

    assert len(envelope._headers) <= 256
    assert max(map(len, envelope._headers)) < 1000


def test_attempts_are_read_as_they_are_written() -> None:
    attempts = Attempts(1, 2, 3, -4)

    assert Attempts.decode(attempts.encode().encode()) == attempts
    assert Attempts.decode(None) == Attempts()
    assert (Attempts().delivery, attempts.delivery) == (1, 7)


@pytest.mark.parametrize(
    "stored", [b"", b"x", b"1 2 3", b"1 2 3 4 5", b"+1 0 0 0", b"-1 0 0 0", b"1_0 0 0 0", b"01 0 0 0"]
)
def test_invalid_attempts_are_refused(stored: bytes) -> None:
    with pytest.raises(DecodeError):
        Attempts.decode(stored)
