"""What else holds for a stored message: pauses, a request to cancel it, its expiry, and the schedule that made it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from bizzmq.admin.activity.pauses import Pause, read_pauses_if_allowed
from bizzmq.admin.message_status import read_expires_ms
from bizzmq.admin.stored_message import PROCESSING, STARTABLE, StoredMessage
from bizzmq.broker.operations import Operation, command
from bizzmq.broker.replies import as_bytes, as_text
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import DecodeError
from bizzmq.properties import NO_PROPERTIES
from bizzmq.protocol import ids
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.keys import QueueKeys, logical_queue

_NO_RECORD: Mapping[str, Any] = {}


class Beside(NamedTuple):
    """What else holds for a message.

    Attributes:
        pauses: those that keep it from being started.
        cancel: the record of a request to cancel it; empty without one.
        expires_at_s: until when it must be started, seconds since the epoch by Redis's clock; None without a limit.
        schedule: the name of the schedule that has published it; "" for others, and if the schedule was removed.
    """

    pauses: Tuple[Pause, ...] = ()
    cancel: Mapping[str, Any] = _NO_RECORD
    expires_at_s: Optional[float] = None
    schedule: str = ""


NOTHING = Beside()


def read_beside(found: StoredMessage) -> Operation[Beside]:
    """What else holds for a stored message. What the user of Redis may not read is left out."""
    k = QueueKeys(found.queue)
    if k.is_dead_letter_queue:
        return Beside()
    pauses: Tuple[Pause, ...] = ()
    expires_ms = None
    if found.state in STARTABLE:
        held = yield from read_pauses_if_allowed(k)
        pauses = tuple(replace(one, queue=logical_queue(k.queue)) for one in held if _is_about(one, found))
        expires_ms = yield from read_expires_ms(found.queue, as_bytes(found.id))
    cancel = _NO_RECORD
    if found.state in (*STARTABLE, PROCESSING):
        cancel = _record((yield from _if_allowed("HGET", k.cancels, found.id)))
    schedule = yield from _schedule_of(QueueKeys(logical_queue(k.queue)), found.id)
    return Beside(pauses, cancel, None if expires_ms is None else expires_ms / 1000, schedule)


def _is_about(pause: Pause, found: StoredMessage) -> bool:
    properties = (found.message.properties if found.message else None) or NO_PROPERTIES
    return pause.task in ("", properties.task) and pause.key in ("", properties.key)


def _record(text: Any) -> Mapping[str, Any]:
    try:
        record = decode_body(text or b"{}")
    except DecodeError:
        record = {}
    return record if isinstance(record, dict) else _NO_RECORD


def _schedule_of(k: QueueKeys, message_id: str) -> Operation[str]:
    """The schedule whose occurrence has this id: such ids have times in whole milliseconds."""
    if not ids.is_message_id(as_bytes(message_id)) or ids.published_us(message_id) % 1000:
        return ""
    due_ms = ids.published_us(message_id) // 1000
    names = map(as_text, (yield from _if_allowed("HKEYS", k.schedules)) or ())
    return next((name for name in names if ids.occurrence_id(k.queue, name, due_ms) == message_id), "")


def _if_allowed(*words: str) -> Operation[Any]:
    try:
        return (yield command(*words))
    except CommandRefusedError:
        return None
