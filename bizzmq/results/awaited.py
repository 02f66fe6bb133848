"""A message whose end is waited for, and how that wait has ended."""

from __future__ import annotations

from typing import Any, Sequence, Union

from bizzmq.errors import (
    BizzMQError,
    DecodeError,
    HandlerFailedError,
    MessageCancelled,
    MessageExpired,
    ResultExpired,
    ResultNotKept,
)
from bizzmq.protocol.envelope import decode_body, decode_envelope
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import CANCELLED, EXPIRED, SUCCEEDED, Ending

Resolution = Union[Ending, BizzMQError]
"""What has become of a message, or why that is not known any more."""


class Awaited:
    """A message whose end is waited for.

    Args:
        shards: the names of the queue's shards that may have the message.
        keeps_result: whether it keeps its result; None if that is not known.
    """

    __slots__ = ("keeps_result", "message_id", "places", "resolution")

    def __init__(self, message_id: str, shards: Sequence[str], *, keeps_result: bool | None = None) -> None:
        self.message_id = message_id
        self.keeps_result = keeps_result
        keys = [QueueKeys(shard) for shard in shards]
        self.places = {k.result(message_id).encode(): k.messages for k in keys}
        self.resolution: Resolution | None = not_kept(message_id) if keeps_result is False else None

    def is_kept(self, envelope: bytes) -> bool:
        """Whether the stored message keeps its result."""
        if self.keeps_result is None:
            try:
                properties = decode_envelope(self.message_id, "", envelope).properties
                self.keeps_result = properties is not None and properties.result_ttl_s > 0
            except DecodeError:
                self.keeps_result = True  # a worker decides what becomes of it
        return self.keeps_result


def not_kept(message_id: str) -> ResultNotKept:
    return ResultNotKept(
        f"message {message_id} keeps no result: set result_ttl_s for its task, or when it is published"
    )


def expired(message_id: str) -> ResultExpired:
    return ResultExpired(
        f"message {message_id} has ended or was deleted, and its result is not kept any more: "
        "a longer result_ttl_s keeps it for longer"
    )


def value_of(message_id: str, resolution: Resolution) -> Any:
    """The JSON value that the handler has returned.

    Raises:
        HandlerFailedError: the message has failed for good.
        MessageCancelled: the message was cancelled.
        MessageExpired: it was not started in time.
        ResultExpired, ResultNotKept, DecodeError, WrongTypeError
    """
    if isinstance(resolution, BizzMQError):
        raise resolution
    if resolution.state == SUCCEEDED:
        return decode_body(resolution.result)
    if resolution.state == EXPIRED:
        raise MessageExpired(message_id)
    record = resolution.error or {}
    if resolution.state == CANCELLED:
        raise MessageCancelled(message_id, _text(record.get("by")), _text(record.get("reason")))
    retries = record.get("retry_count")
    raise HandlerFailedError(
        message_id,
        _text(record.get("error_type")) or "unknown error",
        _text(record.get("error")),
        _text(record.get("traceback")),
        resolution.state,
        retries if type(retries) is int else 0,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
