"""The status of a message: where it is, or what has become of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq.admin.find import find_message
from bizzmq.admin.stored_message import DEAD_LETTERED, PROCESSING, STARTABLE, StoredMessage
from bizzmq.broker.operations import Operation, command, read_time_ms
from bizzmq.broker.queues import read_shards
from bizzmq.errors import DecodeError
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.records import Progress, decode_progress
from bizzmq.protocol.results import EXPIRED, Ending, read_ending

UNKNOWN = "unknown"
_EXPIRY = re.compile(rb'"expires_ms":([0-9]{1,16})[,}]')


@dataclass(frozen=True)
class MessageStatus:
    """What is known of a message at one moment.

    Attributes:
        id: the message's id.
        queue: the name of its queue.
        state: `waiting`, `delayed` (also until its next retry), `suspended` (its task or key is paused), `processing`,
            `succeeded`, `dead_lettered`, `discarded` or `cancelled`; `expired` if it was not started in time; `unknown`
            if it has ended and its result is not kept, or was never published.
        delivery: the number of its last delivery, also of one that is running or about to; 0 before the first one, and
            if it is not known.
        published_at_s: when it was published, by Redis's clock; None if BizzMQ did not make the id.
        started_at_s, finished_at_s: when its last delivery began and ended, by the worker's clock; None while that is
            not known. All times are seconds since the epoch.
        due_at_s: when a delayed message becomes waiting, by Redis's clock; None for others.
        worker: the id of the worker that holds it; "" if none does.
        progress: what its handler has reported last (see `Context.progress`); None if it has not, or has ended.
        error: the record of the error by which it has failed for good (see `Context.error`), or of its cancel, with
            `by` and `reason`; empty if there is none.
    """

    id: str
    queue: str
    state: str
    delivery: int = 0
    published_at_s: float | None = None
    started_at_s: float | None = None
    finished_at_s: float | None = None
    due_at_s: float | None = None
    worker: str = ""
    error: Mapping[str, Any] | None = None
    progress: Progress | None = None


def read_status(k: QueueKeys, message_id: bytes) -> Operation[MessageStatus]:
    """The status of a message of a queue.

    Raises:
        QueueNotFoundError: there is no such queue.
        DecodeError, WrongTypeError: what is stored of it is not BizzMQ's.
    """
    own = QueueKeys(k.owner)
    name = message_id.decode("utf-8", "replace")
    ending = yield from read_ending_of(own, message_id)
    if ending is None:
        found = yield from find_message(own, message_id)
        if found is not None:
            has_expired = found.state in STARTABLE and (yield from read_has_expired(found.queue, message_id))
            stored = yield command("HGET", QueueKeys(found.queue).progress, message_id)
            state = EXPIRED if has_expired else found.state
            return _of_stored(own.queue, name, found, state, decode_progress(stored))
        ending = yield from read_ending_of(own, message_id)  # it may have ended in between
    return _of_ending(own.queue, name, ending)


def read_ending_of(own: QueueKeys, message_id: bytes) -> Operation[Ending | None]:
    """What has become of a message of a queue, if its result is kept. Raises DecodeError."""
    for shard in (yield from read_shards(own)):
        text = yield command("GET", shard.result("").encode() + message_id)
        if text is not None:
            return read_ending(text)
    return None


def read_has_expired(queue: str, message_id: bytes) -> Operation[bool]:
    """Whether a message that waits was to be started before now. A claim that meets it ends it."""
    expires_ms = yield from read_expires_ms(queue, message_id)
    if expires_ms is None:
        return False
    return expires_ms <= (yield from read_time_ms())


def read_expires_ms(queue: str, message_id: bytes) -> Operation[int | None]:
    """Until when a stored message must be started, by Redis's clock; None for ever."""
    entry = yield command("HGET", QueueKeys(queue).extras, message_id)
    found = _EXPIRY.search(entry or b"")
    return None if found is None else int(found[1])


def _of_stored(
    queue: str, message_id: str, found: StoredMessage, state: str, progress: Progress | None
) -> MessageStatus:
    error = found.error if found.state == DEAD_LETTERED else None
    delivery = found.delivery + (found.state == PROCESSING)
    return MessageStatus(
        message_id, queue, state, delivery, _published_s(message_id), due_at_s=found.due_at_s,
        worker=found.worker, error=error or {}, progress=progress,
    )  # fmt: skip


def _of_ending(queue: str, message_id: str, ending: Ending | None) -> MessageStatus:
    if ending is None:
        return MessageStatus(message_id, queue, UNKNOWN, published_at_s=_published_s(message_id), error={})
    return MessageStatus(
        message_id, queue, ending.state, ending.delivery or 0, _published_s(message_id), _seconds(ending.started_ms),
        _seconds(ending.finished_ms), error=ending.error or {},
    )  # fmt: skip


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _published_s(message_id: str) -> float | None:
    try:
        return published_us(message_id) / 1e6
    except DecodeError:
        return None
