"""A message and its envelope: what is stored in Redis, byte for byte.

An envelope is a header line, a newline, and the body's JSON. The header is `1`, the layout version;
then, each after a tab and only if there are any, the message's options and the record of the error
that dead-lettered it, both as JSON objects. JSON text holds no raw tab or newline, so a Lua script
can add the record to an envelope without decoding it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, NamedTuple

from bizzmq import codec, nesting
from bizzmq.errors import ConfigurationError, DecodeError, EncodeError, PayloadTooLargeError
from bizzmq.message_options import MAX_DELAY_S as MAX_DELAY_S  # noqa: PLC0414 - this is its public home
from bizzmq.message_options import PLAIN_HEADER, read_stored
from bizzmq.message_options import PRIORITY_LIMIT as PRIORITY_LIMIT  # noqa: PLC0414 - this is its public home
from bizzmq.message_options import MessageOptions as MessageOptions  # noqa: PLC0414 - this is its public home
from bizzmq.nesting import SHORT_BYTES

MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_ENVELOPE_BYTES = 2 * MAX_PAYLOAD_BYTES
"""A body with its options and the record of its error, which is a tenth of this at most."""
_BODY, _BEYOND_SHORT = slice(len(PLAIN_HEADER), None), slice(len(PLAIN_HEADER) + SHORT_BYTES, None)
_new, _loads = tuple.__new__, codec.loads
_COUNT = rb"(0|[1-9][0-9]{0,15})"
_COUNTS = re.compile(rb"%b %b %b (0|-?[1-9][0-9]{0,15})(?:\t([^\n]+))?\Z" % (_COUNT, _COUNT, _COUNT))


@dataclass(frozen=True)
class Attempts:
    """How often a message has been tried, and its priority, which travels with the counts.

    Attributes:
        retries: failures of the handler.
        crashes: workers that died while running it.
        requeues: times it was put back without blame after it had, or may have, started.
        priority: as published.
        last_crash: the record of the last of these crashes, JSON text, or "".
    """

    retries: int = 0
    crashes: int = 0
    requeues: int = 0
    priority: int = 0
    last_crash: str = ""

    @property
    def delivery(self) -> int:
        """The number of the delivery that is due with these counts: 1 for the first."""
        return 1 + self.retries + self.crashes + self.requeues

    def encode(self) -> str:
        counts = f"{self.retries} {self.crashes} {self.requeues} {self.priority}"
        return f"{counts}\t{self.last_crash}" if self.last_crash else counts

    def last_crash_record(self) -> Mapping[str, Any] | None:
        """The record of the last crash; None if there was none, or it cannot be read, or not be written again."""
        if not self.last_crash:
            return None
        try:
            record = decode_body(self.last_crash.encode("utf-8"))
            codec.dumps(record)  # JSON's 1e999 is read as infinity, which is no JSON
        except (DecodeError, EncodeError):
            return None
        return record if isinstance(record, dict) else None

    @classmethod
    def decode(cls, stored: bytes | None) -> Attempts:
        """Counts as stored. Exactly as `encode` writes them: an outcome is refused unless it repeats their text."""
        if stored is None:
            return NO_ATTEMPTS
        match = _COUNTS.match(stored)
        if match is None:
            raise DecodeError(f"unreadable attempts {stored[:80]!r}")
        retries, crashes, requeues, priority, crash = match.groups()
        try:
            return cls(int(retries), int(crashes), int(requeues), int(priority), (crash or b"").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DecodeError(f"unreadable attempts {stored[:80]!r}") from error


NO_ATTEMPTS = Attempts()


class Message(NamedTuple):
    """What a publisher published. Never changes after that. A tuple, since one is made for each delivery.

    Attributes:
        body: any JSON value, as it was published.
        retries: this message's own `max_retries`, or None for the queue's.
        timeout_s: this message's own time limit in seconds, or None for the queue's.
        error: on a dead-letter queue, why the message is there; None elsewhere.
    """

    id: str
    queue: str
    body: Any
    retries: int | None = None
    timeout_s: float | None = None
    priority: int = 0
    error: Mapping[str, Any] | None = None


def encode_body(body: Any, limit_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """A body's JSON.

    Raises:
        EncodeError: it is not JSON, or nested more than 200 levels deep.
        PayloadTooLargeError: it has more than `limit_bytes` bytes, which may be no fewer than SHORT_BYTES.
    """
    data = codec.dumps(body)
    if len(data) > SHORT_BYTES:
        _check_long(data, limit_bytes)
    return data


def _check_long(data: bytes, limit_bytes: int) -> None:
    if len(data) > limit_bytes:
        raise PayloadTooLargeError(len(data), limit_bytes)
    if nesting.is_deep(data):
        raise EncodeError(f"the message is {nesting.TOO_DEEP}")


def decode_body(data: bytes) -> Any:
    """The value of a body's JSON.

    Raises:
        DecodeError: it is not one JSON document, or nested more than 200 levels deep.
    """
    if nesting.is_deep(data):
        raise DecodeError(f"JSON {nesting.TOO_DEEP}")
    return codec.loads(data)


def check_size(envelope: bytes) -> None:
    """Raises DecodeError if it is larger than any that a client writes: a limit holds only once a message runs."""
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise DecodeError(f"an envelope of {len(envelope)} bytes; at most {MAX_ENVELOPE_BYTES} are read")


def decode_envelope(message_id: str, queue: str, envelope: bytes) -> Message:
    """Read a stored envelope.

    Raises:
        DecodeError: it is malformed or of an unknown version.
    """
    # Most are plain and short: neither is asked twice, and the tuple is made without a call of its class's own.
    if envelope.startswith(PLAIN_HEADER) and not envelope[_BEYOND_SHORT]:
        return _new(Message, (message_id, queue, _loads(envelope[_BODY]), None, None, 0, None))
    check_size(envelope)
    header, newline, body = envelope.partition(b"\n")
    version, *parts = header.split(b"\t")
    if not newline or version != b"1" or len(parts) > 2:
        raise DecodeError(f"unknown envelope header {header[:80]!r}")
    decoded = [decode_body(part) for part in parts]
    if not all(isinstance(part, dict) for part in decoded):
        raise DecodeError("an envelope's options and error record must be JSON objects")
    stored: dict[str, Any] = decoded[0] if decoded else {}
    try:
        priority, retries, timeout_s = read_stored(stored)
    except ConfigurationError as error:
        raise DecodeError(f"an envelope's options cannot be meant: {error}") from error
    return Message(
        message_id,
        queue,
        decode_body(body),
        retries=retries,
        timeout_s=timeout_s,
        priority=priority,
        error=decoded[1] if len(decoded) > 1 else None,
    )
