"""Results as they are stored: what has become of a message, as a line about it and JSON.

The line has the state, the number of the delivery, its start and its end in milliseconds since the epoch, divided by
tabs; what is not known is empty. After a success the JSON is what the handler has returned, after a failure the error
record.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from bizzmq.errors import DecodeError
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES, decode_body

SUCCEEDED, DEAD_LETTERED, DISCARDED = "succeeded", "dead_lettered", "discarded"
CANCELLED, EXPIRED = "cancelled", "expired"
MAX_NUMBER = 2**53
_LINE = re.compile(rb"([a-z_]{1,20})\t([0-9]{0,16})\t([0-9]{0,16})\t([0-9]{0,16})\n")
_LONGEST_LINE = 128
_STATES = {state.encode(): state for state in (SUCCEEDED, DEAD_LETTERED, DISCARDED, CANCELLED, EXPIRED)}


class KeptResult(NamedTuple):
    """What a message's handler has returned, until its ack stores it. The order is that of the scripts' arguments.

    Attributes:
        ttl_ms: how long it is kept, milliseconds in digits.
        text: what is stored: see `success_text`.
    """

    ttl_ms: bytes
    text: bytes

    def to_stored(self) -> List[Any]:
        """Its fields as JSON values, for files and for other processes."""
        return [int(self.ttl_ms), self.text.decode("utf-8")]

    @classmethod
    def of_stored(cls, fields: Any) -> KeptResult:
        """From what `to_stored` returns. Raises DecodeError if it is anything else."""
        if not isinstance(fields, list) or list(map(type, fields)) != [int, str]:
            raise DecodeError("it has an invalid result")
        ttl_ms, written = fields
        if not 0 < ttl_ms <= MAX_NUMBER:
            raise DecodeError("a result has an invalid number")
        try:
            text = written.encode("utf-8")
        except UnicodeEncodeError:
            raise DecodeError("a result is not UTF-8") from None
        if len(text) > MAX_PAYLOAD_BYTES + _LONGEST_LINE:
            raise DecodeError("a result is too large")
        return cls(b"%d" % ttl_ms, text)


@lru_cache(maxsize=256)
def ttl_text(result_ttl_s: float) -> bytes:
    """How long a result is kept, in seconds, as the scripts take it: milliseconds in digits."""
    return b"%d" % max(1, round(result_ttl_s * 1000))


def success_text(result: bytes, delivery: int, started_ms: int, finished_ms: int) -> bytes:
    """The text of a message that has succeeded.

    Args:
        result: the value as JSON.
        started_ms, finished_ms: when the handler began and ended, milliseconds since the epoch by the worker's clock.
    """
    return b"succeeded\t%d\t%d\t%d\n%b" % (delivery, started_ms, finished_ms, result)


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


def read_ending(text: bytes) -> Ending:
    """What the text of a result says.

    Raises:
        DecodeError: it was not written by BizzMQ.
    """
    line = _LINE.match(text)
    state = _STATES.get(line[1]) if line else None
    if line is None or state is None:
        raise DecodeError("the stored result is not one of BizzMQ's")
    delivery, started_ms, finished_ms = (int(digits) if digits else None for digits in line.groups()[1:])
    if state == SUCCEEDED:
        return Ending(state, text[line.end() :], None, delivery, started_ms, finished_ms)
    record = decode_body(text[line.end() :])
    if not isinstance(record, dict):
        raise DecodeError("the stored result is not one of BizzMQ's")
    tried = record.get("delivery")
    return Ending(state, b"", record, tried if type(tried) is int else None, started_ms, finished_ms)
