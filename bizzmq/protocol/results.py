"""Results as they are stored: what has become of a message, as the fields of the one entry of a stream."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from bizzmq.errors import DecodeError
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES, decode_body

SUCCEEDED, DEAD_LETTERED, DISCARDED = "succeeded", "dead_lettered", "discarded"
CANCELLED, EXPIRED = "cancelled", "expired"
NOTHING_KEPT = (0, b"", 0, 0, 0)
"""The arguments of a message that keeps no result."""
MAX_NUMBER = 2**53
_ENTRY_ID = re.compile(rb"([0-9]{1,16})-[0-9]{1,20}")
_NUMBER = re.compile(rb"[0-9]{1,16}")


class KeptResult(NamedTuple):
    """What a message's handler has returned, until its ack stores it. The order is that of the scripts' arguments.

    Attributes:
        ttl_ms: how long it is kept.
        result: the value as JSON.
        delivery: the number of the delivery.
        started_ms, finished_ms: when the handler began and ended, milliseconds since the epoch by the worker's clock.
    """

    ttl_ms: int
    result: bytes
    delivery: int
    started_ms: int
    finished_ms: int

    def to_stored(self) -> List[Any]:
        """Its fields as JSON values, for files and for other processes."""
        return [self.ttl_ms, self.result.decode("utf-8"), self.delivery, self.started_ms, self.finished_ms]

    @classmethod
    def of_stored(cls, fields: Any) -> KeptResult:
        """From what `to_stored` returns. Raises DecodeError if it is anything else."""
        if not isinstance(fields, list) or len(fields) != len(cls._fields) or not isinstance(fields[1], str):
            raise DecodeError("it has an invalid result")
        numbers = [fields[0], *fields[2:]]
        if not all(type(number) is int and 0 <= number <= MAX_NUMBER for number in numbers) or fields[0] == 0:
            raise DecodeError("a result has an invalid number")
        try:
            result = fields[1].encode("utf-8")
        except UnicodeEncodeError:
            raise DecodeError("a result is not UTF-8") from None
        if len(result) > MAX_PAYLOAD_BYTES:
            raise DecodeError("a result is too large")
        return cls(fields[0], result, *fields[2:])


def results_to_stored(results: Mapping[str, KeptResult]) -> Dict[str, List[Any]]:
    """Results by message id, as JSON values."""
    return {message_id: kept.to_stored() for message_id, kept in results.items()}


def results_of_stored(stored: Any) -> Dict[str, KeptResult]:
    """Results from what `results_to_stored` returns. Raises DecodeError if it is anything else."""
    if not isinstance(stored, dict) or not all(key.isascii() for key in stored):
        raise DecodeError("it has invalid results")
    return {message_id: KeptResult.of_stored(fields) for message_id, fields in stored.items()}


class Ending(NamedTuple):
    """What has become of a message, as it is stored.

    Attributes:
        state: `succeeded`, `dead_lettered`, `discarded`, `cancelled` or `expired`.
        result: the value as JSON, if the message has succeeded.
        error: the error record, if it has failed; if it was cancelled, the record of that.
        delivery: the number of the last delivery; None if it is not known.
        started_ms, finished_ms: when it began and ended, milliseconds since the epoch; None if that is not known.
    """

    state: str
    result: bytes = b""
    error: Optional[Mapping[str, Any]] = None
    delivery: Optional[int] = None
    started_ms: Optional[int] = None
    finished_ms: Optional[int] = None


def read_ending(entry: Sequence[Any]) -> Ending:
    """What the entry of a stream says: its id, and a list of names and values.

    Raises:
        DecodeError: it was not written by a script of BizzMQ.
    """
    entry_id, flat = entry
    stamp = _ENTRY_ID.fullmatch(entry_id)
    fields = dict(zip(flat[::2], flat[1::2])) if isinstance(flat, list) else {}
    state = fields.get(b"state", b"")
    if state == SUCCEEDED.encode() and b"result" in fields:
        return Ending(SUCCEEDED, fields[b"result"], None, *(_number(fields.get(name)) for name in _NUMBERS))
    if state in _FAILED and b"error" in fields:
        record = decode_body(fields[b"error"])
        if isinstance(record, dict):
            delivery = record.get("delivery")
            return Ending(
                _FAILED[state], b"", record, delivery if type(delivery) is int else None,
                finished_ms=int(stamp[1]) if stamp else None,
            )  # fmt: skip
    raise DecodeError("the stored result is not one of BizzMQ's")


_NUMBERS = (b"delivery", b"started_ms", b"finished_ms")
_FAILED = {state.encode(): state for state in (DEAD_LETTERED, DISCARDED, CANCELLED, EXPIRED)}


def _number(stored: Any) -> int | None:
    return int(stored) if isinstance(stored, bytes) and _NUMBER.fullmatch(stored) else None
