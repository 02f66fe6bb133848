"""A signature covers version, id, queue, options and body; keys can be rotated; without keys reading is unchanged."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizzmq import BizzMQ, ConfigurationError, MessageOptions
from bizzmq.errors import SignatureError, UnsignedError
from bizzmq.protocol.envelope import decode_envelope, encode_header
from bizzmq.protocol.sealing import Sealer
from bizzmq.protocol.signing import Signer
from bizzmq.workers import WorkerConfig

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
ID, QUEUE = "0123456789abcABCDEFG", "q"
OPTIONS = {
    "none": MessageOptions(),
    "all": MessageOptions(priority=3, retries=0, timeout_s=2.5),
}
by_options = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def signed(options: MessageOptions = OPTIONS["all"], body: bytes = b'{"n":1}', key: bytes = NEW) -> bytes:
    return Signer([key]).sign(ID, QUEUE, encode_header(options) + body)


def refused(envelope: bytes, message_id: str = ID, queue: str = QUEUE, *keys: bytes) -> None:
    """Check that a message is refused because its signature is wrong."""
    assert refusal(envelope, message_id, queue, *keys) is SignatureError


def unsigned(envelope: bytes) -> None:
    """Check that a message is refused because it has no signature."""
    assert refusal(envelope) is UnsignedError


def refusal(envelope: bytes, message_id: str = ID, queue: str = QUEUE, *keys: bytes) -> type[Exception]:
    with pytest.raises(SignatureError) as caught:
        Sealer(keys or [NEW]).decode(message_id, queue, envelope)
    return caught.type


@by_options
def test_a_signed_message_is_read_with_and_without_keys(options: MessageOptions) -> None:
    envelope = signed(options)

    message = Sealer([NEW]).decode(ID, QUEUE, envelope)

    assert (message.body, message.priority, message.retries) == ({"n": 1}, options.priority, options.retries)
    assert decode_envelope(ID, QUEUE, envelope) == message


@by_options
def test_each_part_is_covered_by_the_signature(options: MessageOptions) -> None:
    envelope = signed(options)
    header, _, body = envelope.partition(b"\n")
    version, _, stored = header.partition(b"\t")
    more = stored.replace(b"{", b'{"retries":9,', 1)

    refused(envelope, message_id="0123456789abcABCDEFH")
    refused(envelope, queue="r")
    refused(b"%b\t%b\n%b" % (version, more, body))
    refused(header + b"\n" + body.replace(b"1", b"2"))
    refused(header + b"\n" + body + b" ")
    refused(envelope.replace(b"1", b"2", 1))
    refused(envelope, ID, QUEUE, OTHER)


@by_options
def test_a_message_without_its_signature_is_refused(options: MessageOptions) -> None:
    plain = encode_header(options) + b'{"n":1}'
    signature = json.loads(signed(options).partition(b"\n")[0].partition(b"\t")[2])["sig"].encode()

    unsigned(plain)
    unsigned(plain.replace(b"1", b'1\t{"priority":3}\t{"sig":"in the record of an error"}', 1))
    unsigned(b"")
    unsigned(b"1")
    unsigned(signed(options).replace(b'"sig"', b'"gis"'))
    refused(signed(options).replace(signature, b""))
    refused(signed(options).replace(signature, b"A" * 43))


def test_a_signature_in_any_other_position_is_ignored() -> None:
    envelope = signed(OPTIONS["none"], b"1")
    signature = envelope.partition(b'"sig":')[2].partition(b"}")[0]

    refused(b'1\t{"sig":%b,"retries":9}\n1' % signature)
    unsigned(b'1\t{}\t{"sig":%b}\n1' % signature)
    refused(b'1\t{"sig":%b }\n1' % signature)
    refused(b'1\t{"sig":%b,"sig":%b}\n1' % (signature, signature))
    refused(b'1\t{"x":{"sig":%b}\n1' % signature)


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_bit_can_be_flipped(position: int, bit: int) -> None:
    envelope = bytearray(signed())
    envelope[position % len(envelope)] ^= 1 << bit

    assert refusal(bytes(envelope))


@given(cut=st.integers(min_value=0), text=st.binary(min_size=1, max_size=20))
def test_nothing_can_be_inserted_between_the_parts(cut: int, text: bytes) -> None:
    envelope = signed()
    at = cut % (len(envelope) + 1)
    header = envelope.partition(b"\n")[0]
    if at == len(header) and text.startswith(b"\t"):
        return  # the position of the error record, which is not covered

    assert refusal(envelope[:at] + text + envelope[at:])


def test_a_dead_letter_keeps_its_signature_with_any_record_and_in_both_queues() -> None:
    header, _, body = signed().partition(b"\n")
    dead = header + b'\t{"error":"x"}\n' + body

    message = Sealer([NEW]).decode(ID, "q_dlq", dead)

    assert message.error == {"error": "x"}
    refused(dead, queue="r_dlq")
    refused(dead, queue="q_dlq_dlq")


def test_the_shards_of_a_queue_are_one_queue() -> None:
    for queue in ("q:1", "q:200", "q:1_dlq"):
        assert Sealer([NEW]).decode(ID, queue, signed()).body == {"n": 1}
    refused(signed(), queue="r:1")


def test_parts_cannot_be_moved_into_one_another() -> None:
    envelope = Signer([NEW]).sign("ab", "c", b"1\n1")

    refused(envelope, "a", "bc")
    refused(envelope, "abc", "")
    refused(envelope, "", "abc")


def test_the_first_key_signs_and_all_verify() -> None:
    old, new = signed(key=OLD), Signer([NEW, OLD]).sign(ID, QUEUE, b"1\n1")

    assert Sealer([NEW, OLD]).decode(ID, QUEUE, old).body == {"n": 1}
    assert Sealer([NEW]).decode(ID, QUEUE, new).body == 1
    refused(old)
    refused(new, ID, QUEUE, OLD)


def test_keys_can_be_text_and_are_never_shown() -> None:
    text = base64.b64encode(NEW).decode()

    assert Sealer([text]).decode(ID, QUEUE, signed()).body == {"n": 1}
    for shown in (repr(Signer([text])), repr(WorkerConfig("tasks:handler", signing_keys=[text, NEW]))):
        assert text not in shown
        assert "nnnn" not in shown


@pytest.mark.parametrize(
    "keys", [[], [b""], [b"short"], ["not base64!"], ["c2hvcnQ="], "A" * 44, b"n" * 32, [None], [40]]
)
def test_invalid_keys_are_refused_and_not_shown(keys: object) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Signer(keys)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        BizzMQ("redis://127.0.0.1:1", signing_keys=keys)  # type: ignore[arg-type]

    assert "short" not in str(raised.value)
    assert "not base64!" not in str(raised.value)
    assert "AAAA" not in str(raised.value)
