"""Compressed and encrypted bodies: what comes back, what is refused, and what a forger can do."""

from __future__ import annotations

import base64
import importlib
import json
import zlib
from typing import Any

import pytest

from bizzmq import ConfigurationError, DecodeError, Message, MessageOptions
from bizzmq.protocol import compression
from bizzmq.protocol.encryption import Cipher
from bizzmq.protocol.envelope import (
    MAX_PAYLOAD_BYTES,
    PLAIN_HEADER,
    SealedBody,
    decode_envelope,
    encode_body,
    encode_header,
)
from bizzmq.protocol.sealing import Sealer

ID, QUEUE = "0000000000001aaaaaaa", "mail"
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
LARGE = {"rows": ["the same text again"] * 2000}
OPTIONS = [MessageOptions(), MessageOptions(priority=3, key="k", headers={"a": "b"}, result_ttl_s=5)]


@pytest.fixture(params=["zstd", "gzip"])
def algorithm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the extra, and without it."""
    if request.param == "gzip":
        monkeypatch.setattr(compression, "_zstandard", lambda: None)
    return str(request.param)


def envelope(body: Any, options: MessageOptions = OPTIONS[0]) -> bytes:
    return encode_header(options) + encode_body(body)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("signing", [None, [NEW]])
@pytest.mark.parametrize("keys", [None, {"k1": NEW}])
@pytest.mark.parametrize("body", [LARGE, {}, None, "\N{SNOWMAN}" * 5000])
def test_a_body_comes_back(algorithm: str, body: Any, keys: Any, signing: Any, options: MessageOptions) -> None:
    sealer = Sealer(signing, 1000, keys)

    sealed = sealer.seal(ID, QUEUE, envelope(body, options))
    message = sealer.decode(ID, QUEUE, sealed)

    assert message.body == body
    assert (message.priority, message.properties.key if message.properties else "") == (options.priority, options.key)
    is_large = len(encode_body(body)) > 1000
    encoding = [*([algorithm] if is_large else []), *(["aes-gcm:k1"] if keys else [])]
    assert list(message.properties.encoding if message.properties else ()) == encoding
    if is_large:
        assert len(sealed) < 1000


def test_a_small_or_random_body_is_left_as_it_is() -> None:
    sealer = Sealer(compress_above_bytes=100)
    for data in ("x" * 90, base64.b85encode(zlib.compress(b"".join(b"%d" % (n**5) for n in range(2000)))).decode()):
        plain = envelope(data)
        assert sealer.seal(ID, QUEUE, plain) == plain or len(sealer.seal(ID, QUEUE, plain)) < len(plain) * 0.95


def test_keys_are_rotated_without_a_gap() -> None:
    before = Sealer(encryption_keys={"old": OLD}).seal(ID, QUEUE, envelope(7))
    between = Sealer(encryption_keys=[("new", NEW), ("old", OLD)])

    assert between.decode(ID, QUEUE, before).body == 7
    assert Sealer(encryption_keys={"new": NEW}).decode(ID, QUEUE, between.seal(ID, QUEUE, envelope(8))).body == 8


@pytest.mark.parametrize(
    "decode", [decode_envelope, Sealer(encryption_keys={"k2": OTHER}).decode, Sealer([NEW]).opened]
)
def test_without_the_key_only_the_size_is_seen(decode: Any) -> None:
    sealed = Sealer(encryption_keys={"k1": NEW}).seal(ID, QUEUE, envelope({"card": "4111"}))

    message = decode(decode_envelope(ID, QUEUE, sealed)) if decode.__name__ == "opened" else decode(ID, QUEUE, sealed)

    assert isinstance(message, Message)
    assert type(message.body) is SealedBody
    assert "4111" not in message.body
    assert json.dumps(message.body) == f"\"(encrypted with key 'k1', {len(sealed) - sealed.index(10) - 1} bytes)\""


@pytest.mark.parametrize(
    ("message_id", "queue", "change"),
    [
        ("0000000000001aaaaaab", QUEUE, 0), (ID, "other", 0), (ID, QUEUE, -1), (ID, QUEUE, -20), (ID, QUEUE, None),
    ],
)  # fmt: skip
def test_a_body_that_was_changed_or_moved_is_refused(message_id: str, queue: str, change: int | None) -> None:
    sealer = Sealer(encryption_keys={"k1": NEW})
    sealed = bytearray(sealer.seal(ID, QUEUE, envelope("secret")))
    if change is None:
        del sealed[sealed.index(10) + 5 :]
    elif change:
        sealed[change] ^= 1

    with pytest.raises(DecodeError, match="encrypted body is wrong"):
        sealer.decode(message_id, queue, bytes(sealed))


def test_a_dead_letter_and_a_shard_are_of_the_same_queue() -> None:
    sealer = Sealer(encryption_keys={"k1": NEW})
    sealed = sealer.seal(ID, "mail:3", envelope("secret"))

    assert sealer.decode(ID, "mail:3_dlq", sealed).body == "secret"
    assert sealer.decode(ID, "mail", sealed).body == "secret"


def header(*encoding: Any) -> bytes:
    return b'1\t{"encoding":%b}\n' % json.dumps(encoding).encode()


@pytest.mark.parametrize(
    "stored",
    [
        header("zstd") + b"no zstd", header("gzip") + b"no gzip", header("gzip"), header("zstd"),
        header("br") + b"1", header("gzip") + zlib.compress(b"1"), header("gzip", "gzip") + b"1",
        header(*["gzip"] * 9) + b"1", header(7) + b"1", header({}) + b"1", b'1\t{"encoding":"gzip"}\n1',
        header("aes-gcm:k1"), header("aes-gcm:k1") + b"short", header("aes-gcm:k1", "gzip") + b"1",
        header("gzip", "aes-gcm:k1") + b"x" * 50, header("") + b"1",
    ],
    ids=range(16),
)  # fmt: skip
def test_a_forged_encoding_is_unreadable(stored: bytes) -> None:
    with pytest.raises(DecodeError):
        Sealer(encryption_keys={"k1": NEW}).decode(ID, QUEUE, stored)


@pytest.mark.parametrize("name", ["zstd", "gzip"])
@pytest.mark.parametrize("size", [MAX_PAYLOAD_BYTES + 1, 300 * MAX_PAYLOAD_BYTES])
def test_a_small_body_that_becomes_huge_is_refused(name: str, size: int) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(b"1" * size) + packer.flush()
    if name == "zstd":
        bomb = importlib.import_module("zstandard").ZstdCompressor().compress(b"1" * size)

    with pytest.raises(DecodeError, match="larger than"):
        decode_envelope(ID, QUEUE, header(name) + bomb)


def test_the_largest_body_is_that_before_compression() -> None:
    body = "x" * (MAX_PAYLOAD_BYTES - 2)
    sealed = Sealer(compress_above_bytes=0).seal(ID, QUEUE, envelope(body))

    assert decode_envelope(ID, QUEUE, sealed).body == body


@pytest.mark.parametrize(
    "keys",
    [{}, [], "k1", b"k1", 7, {"k1": b"short"}, {"k1": "no base64!"}, {"": NEW}, {"a b": NEW}, {"k" * 65: NEW}, {1: NEW},
     [("k1",)], {"k1": None}, [NEW]],
    ids=range(14),
)  # fmt: skip
def test_bad_keys_are_refused_without_naming_them(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match="encryption") as caught:
        Cipher(keys)

    assert "short" not in str(caught.value)
    assert "no base64!" not in str(caught.value)


@pytest.mark.parametrize("size", [-1, "large", 1.5, True])
def test_a_bad_size_is_refused(size: Any) -> None:
    with pytest.raises(ConfigurationError, match="compress_above_bytes"):
        Sealer(compress_above_bytes=size)


def test_without_anything_to_do_the_envelope_is_plain() -> None:
    assert Sealer().seal(ID, QUEUE, PLAIN_HEADER + b"1") == PLAIN_HEADER + b"1"
    assert not Sealer().changes_envelopes
    assert repr(Cipher({"k1": NEW})) == "Cipher(1 keys)"
