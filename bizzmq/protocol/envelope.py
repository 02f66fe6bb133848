"""The envelope of a message: the bytes that are stored in Redis.

An envelope is a header line, a newline, and the body as JSON. The header is `1`, the layout version, followed by the
message's options and by the record of the error that dead-lettered it. Both are optional JSON objects, each after a
tab. JSON text contains no raw tab or newline, so a Lua script can add the record without decoding the envelope.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from bizzmq.errors import ConfigurationError, DecodeError, EncodeError, PayloadTooLargeError
from bizzmq.message import Message, MessageOptions, read_stored
from bizzmq.properties import MessageProperties, read_properties, to_stored
from bizzmq.protocol import compression, json_codec, nesting
from bizzmq.protocol.nesting import SHORT_BYTES

PLAIN_HEADER = b"1\n"
MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_ENVELOPE_BYTES = 2 * MAX_PAYLOAD_BYTES
"""The largest envelope: a body, its options, and the record of its error, which is at most a tenth of this."""
_BODY, _BEYOND_SHORT = slice(len(PLAIN_HEADER), None), slice(len(PLAIN_HEADER) + SHORT_BYTES, None)
_new, _loads = tuple.__new__, json_codec.loads


class SealedBody(str):  # noqa: SLOT000 - it has three attributes, and is rare
    """The body of a message that is encrypted with a key that is not known here. As a text, it says so.

    Attributes:
        key_id: the id of the key.
        encoding: what was done to the body; the last one is the encryption.
        data: the encrypted body.
    """

    key_id: str
    encoding: Sequence[str]
    data: bytes

    def __new__(cls, encoding: Sequence[str], data: bytes) -> SealedBody:
        key_id = encoding[-1].partition(":")[2]
        sealed = super().__new__(cls, f"(encrypted with key {key_id!r}, {len(data)} bytes)")
        sealed.key_id, sealed.encoding, sealed.data = key_id, encoding, data
        return sealed


class Header(NamedTuple):
    """A decoded header."""

    priority: int
    retries: int | None
    timeout_s: float | None
    error: Any
    properties: MessageProperties | None
    encoding: Sequence[str] = ()


_headers: dict[bytes, Header] = {}
"""Decoded headers: all messages of a task that were published with the same options have the same one."""
_MAX_HEADERS, _MAX_HEADER_BYTES = 256, 512


def encode_header(options: MessageOptions, task: str = "", version: int = 1) -> bytes:
    """The header line of an envelope with these options, newline included.

    Args:
        task: the name of the task whose arguments the body holds, and their version; "" for a plain message.
    """
    stored: dict[str, Any] = {}
    if options.priority:
        stored["priority"] = options.priority
    if options.retries is not None:
        stored["retries"] = options.retries
    if options.timeout_s is not None:
        stored["timeout_s"] = options.timeout_s
    if task or options.result_ttl_s or options.headers or options.key or options.output_ttl_s:
        properties = MessageProperties(
            task, version, options.result_ttl_s, options.headers, options.key, output_ttl_s=options.output_ttl_s
        )
        stored.update(to_stored(properties))
    return b"1\t" + json_codec.dumps(stored) + b"\n" if stored else PLAIN_HEADER


def encode_body(body: Any, limit_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """The body as JSON.

    Args:
        limit_bytes: the largest size of the JSON; at least SHORT_BYTES.

    Raises:
        EncodeError: the body is not JSON, or is nested more than 200 levels deep.
        PayloadTooLargeError: the JSON is larger than `limit_bytes`.
    """
    data = json_codec.dumps(body)
    if len(data) > SHORT_BYTES:
        _check_long(data, limit_bytes)
    return data


def _check_long(data: bytes, limit_bytes: int) -> None:
    if len(data) > limit_bytes:
        raise PayloadTooLargeError(len(data), limit_bytes)
    if nesting.is_deep(data):
        raise EncodeError(f"the message is {nesting.TOO_DEEP}")


def decode_body(data: bytes) -> Any:
    """The body from its JSON.

    Raises:
        DecodeError: the data is not one JSON document, or is nested more than 200 levels deep.
    """
    if nesting.is_deep(data):
        raise DecodeError(f"JSON {nesting.TOO_DEEP}")
    return json_codec.loads(data)


def check_size(envelope: bytes) -> None:
    """Raise DecodeError if an envelope is larger than any that a client writes; checked before it is decoded."""
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise DecodeError(f"an envelope of {len(envelope)} bytes; at most {MAX_ENVELOPE_BYTES} are allowed")


def decode_envelope(message_id: str, queue: str, envelope: bytes) -> Message:
    """The message of a stored envelope.

    Raises:
        DecodeError: the envelope is malformed or has an unknown version.
    """
    # The fast path for most envelopes: without options and short. The tuple is created without calling its class.
    if envelope.startswith(PLAIN_HEADER) and not envelope[_BEYOND_SHORT]:
        return _new(Message, (message_id, queue, _loads(envelope[_BODY]), None, None, 0, None, None))
    if len(envelope) > SHORT_BYTES:
        check_size(envelope)
    line, newline, body = envelope.partition(b"\n")
    header = _headers.get(line) if newline else None
    if header is None:
        header = decode_header(line, newline)
    priority, retries, timeout_s, error, properties, encoding = header
    if encoding:
        return Message(message_id, queue, _opened(encoding, body), retries, timeout_s, priority, error, properties)
    decode = _loads if len(body) <= SHORT_BYTES else decode_body
    return _new(Message, (message_id, queue, decode(body), retries, timeout_s, priority, error, properties))


def _opened(encoding: Sequence[str], body: bytes) -> Any:
    """The decompressed body, or the sealed one. Raises DecodeError."""
    if ":" in encoding[-1]:
        return SealedBody(encoding, body)
    for name in reversed(encoding):
        body = compression.decompress(name, body, MAX_PAYLOAD_BYTES)
    return decode_body(body)


def decode_header(line: bytes, newline: bytes) -> Header:
    """The header of an envelope from its line. Raises DecodeError."""
    version, *parts = line.split(b"\t")
    if not newline or version != b"1" or len(parts) > 2:
        raise DecodeError(f"unknown envelope header {line[:80]!r}")
    decoded = [decode_body(part) for part in parts]
    if not all(isinstance(part, dict) for part in decoded):
        raise DecodeError("an envelope's options and error record must be JSON objects")
    stored: dict[str, Any] = decoded[0] if decoded else {}
    try:
        priority, retries, timeout_s = read_stored(stored)
        properties = read_properties(stored)
    except ConfigurationError as error:
        raise DecodeError(f"an envelope's options are invalid: {error}") from error
    record = decoded[1] if len(decoded) > 1 else None
    header = Header(priority, retries, timeout_s, record, properties, properties.encoding if properties else ())
    if len(parts) == 1 and len(line) <= _MAX_HEADER_BYTES and "headers" not in stored:
        if len(_headers) >= _MAX_HEADERS:
            _headers.clear()  # forged ones, or many tasks: none is kept for ever
        _headers[line] = header
    return header
