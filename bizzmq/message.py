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
from bizzmq.nesting import SHORT_BYTES

MAX_PAYLOAD_BYTES = 1024 * 1024
PRIORITY_LIMIT = 2**53
"""Largest size of a priority: sorted-set scores are doubles, exact up to here."""
MAX_DELAY_S = 100 * 365 * 86400.0

_PLAIN = b"1\n"
_BODY, _BEYOND_SHORT = slice(len(_PLAIN), None), slice(len(_PLAIN) + SHORT_BYTES, None)
_new, _loads = tuple.__new__, codec.loads
_CONFIRM = re.compile(r"(aof|replicas:[1-9][0-9]{0,2})\Z")
_COUNT = rb"(0|[1-9][0-9]{0,15})"
_COUNTS = re.compile(rb"%b %b %b (0|-?[1-9][0-9]{0,15})(?:\t([^\n]+))?\Z" % (_COUNT, _COUNT, _COUNT))


@dataclass(frozen=True)
class MessageOptions:
    """How one message is treated.

    Args:
        priority: any integer up to 2^53 in size; higher is handled first, 0 is the default.
        retries: overrides the queue's `max_retries` for this message.
        delay_s: seconds that the message is held back.
        timeout_s: how long one delivery may take, seconds; overrides the queue's.
        confirm: return only when so many replicas have it (`replicas:1`), or the disk of the server (`aof`: Redis 7.2
            and newer, Valkey); "" when the server has it.
    """

    priority: int = 0
    retries: int | None = None
    delay_s: float = 0.0
    timeout_s: float | None = None
    confirm: str = ""

    def __post_init__(self) -> None:
        if type(self.priority) is not int:  # a bool would be stored as a word
            raise ConfigurationError(f"priority must be an integer, not {self.priority!r}")
        if abs(self.priority) > PRIORITY_LIMIT:
            raise ConfigurationError("priority must lie between -2^53 and 2^53")
        if self.retries is not None and (type(self.retries) is not int or self.retries < 0):
            raise ConfigurationError("retries must be an integer of 0 or more, or None")
        if not 0 <= self.delay_s <= MAX_DELAY_S:
            raise ConfigurationError("delay_s must be 0 or more, and less than 100 years")
        if self.timeout_s is not None and not 0 < self.timeout_s <= MAX_DELAY_S:
            raise ConfigurationError("timeout_s must be more than 0, and less than 100 years, or None for no limit")
        confirm: Any = self.confirm
        if not isinstance(confirm, str) or (confirm and not _CONFIRM.match(confirm)):
            raise ConfigurationError(f"confirm must be replicas:N with N of 1 or more, or aof, not {self.confirm!r}")

    def header(self) -> bytes:
        """The header line of an envelope with these options, newline included."""
        stored = {
            name: value
            for name, value in (
                ("priority", self.priority),
                ("retries", self.retries),
                ("timeout_s", self.timeout_s),
            )
            if value or (name == "retries" and value is not None)  # 0 retries is a choice, not a default
        }
        return b"1\t" + codec.dumps(stored) + b"\n" if stored else _PLAIN


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


def decode_envelope(message_id: str, queue: str, envelope: bytes) -> Message:
    """Read a stored envelope.

    Raises:
        DecodeError: it is malformed or of an unknown version.
    """
    # Most are plain and short: neither is asked twice, and the tuple is made without a call of its class's own.
    if envelope.startswith(_PLAIN) and not envelope[_BEYOND_SHORT]:
        return _new(Message, (message_id, queue, _loads(envelope[_BODY]), None, None, 0, None))
    header, newline, body = envelope.partition(b"\n")
    version, *parts = header.split(b"\t")
    if not newline or version != b"1" or len(parts) > 2:
        raise DecodeError(f"unknown envelope header {header[:80]!r}")
    decoded = [decode_body(part) for part in parts]
    if not all(isinstance(part, dict) for part in decoded):
        raise DecodeError("an envelope's options and error record must be JSON objects")
    stored: dict[str, Any] = decoded[0] if decoded else {}
    try:
        options = MessageOptions(stored.get("priority", 0), stored.get("retries"), timeout_s=stored.get("timeout_s"))
    except (ConfigurationError, TypeError) as error:
        raise DecodeError(f"an envelope's options cannot be meant: {error}") from error
    return Message(
        message_id,
        queue,
        decode_body(body),
        retries=options.retries,
        timeout_s=options.timeout_s,
        priority=options.priority,
        error=decoded[1] if len(decoded) > 1 else None,
    )
