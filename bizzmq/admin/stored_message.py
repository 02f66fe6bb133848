"""A message as it is stored at one moment, with everything that is known about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq.admin.paging.pages import read_attempts
from bizzmq.broker.replies import as_text
from bizzmq.errors import DecodeError
from bizzmq.message import Message
from bizzmq.protocol.envelope import decode_envelope
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.keys import QueueKeys

WAITING, DELAYED, PROCESSING, DEAD_LETTERED = "waiting", "delayed", "processing", "dead_lettered"
SUSPENDED = "suspended"
STATES = (WAITING, DELAYED, SUSPENDED, PROCESSING, DEAD_LETTERED)
"""The states of a stored message, as they are counted by `QueueStats`."""
STARTABLE = (WAITING, DELAYED, SUSPENDED)
"""The states of a message that is still to be started."""


@dataclass(frozen=True)
class StoredMessage:
    """A message as it is stored at one moment.

    Attributes:
        id: the message's id.
        queue: the name of the queue, or of its shard, that has the message; of the dead-letter queue for a dead letter.
        state: `waiting`, `delayed`, `suspended` (its task or key is paused), `processing` or `dead_lettered`. All
            messages of a dead-letter queue that no worker holds are `dead_lettered`.
        place: `waiting`, `prioritized`, `delayed`, `suspended`, `parked` or `processing`: the list or set that has it;
            "" if unknown.
        message: the message; None if it is unreadable.
        envelope: the stored bytes.
        problem: why the message is unreadable; "" if it is not.
        retry_count: how often it has failed, including the queue's initial `retry` count.
        crash_count: how often a worker died while running it.
        delivery: how many of its deliveries have ended: the number of the running or next one is higher by one.
        last_crash: the record of the last crash; None if there was none.
        last_error: the error of its last attempt in one line; "" if there was none, or if its worker died.
        due_at_s: when a delayed message becomes waiting, seconds since the epoch by Redis's clock; None for others.
        worker: the id of the worker that holds it; "" if no worker does.
    """

    id: str
    queue: str
    state: str
    place: str
    message: Message | None
    envelope: bytes
    problem: str = ""
    retry_count: int = 0
    crash_count: int = 0
    delivery: int = 0
    last_crash: Mapping[str, Any] | None = None
    due_at_s: float | None = None
    worker: str = ""
    last_error: str = ""

    @property
    def body(self) -> Any:
        """The JSON value that was published; None if it is unreadable."""
        return self.message.body if self.message else None

    @property
    def priority(self) -> int:
        """The priority with which it was published; 0 if it is unreadable."""
        return self.message.priority if self.message else 0

    @property
    def error(self) -> Mapping[str, Any]:
        """The record of the error that dead-lettered it (see `Context.error`); empty if there is none."""
        return (self.message.error if self.message else None) or {}

    @property
    def published_at_s(self) -> float | None:
        """When it was published, seconds since the epoch by Redis's clock; None if its id is forged."""
        try:
            return published_us(self.id) / 1e6
        except DecodeError:
            return None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the attributes without `message` and `envelope`, the properties, and the message's own options."""
        about = {name: value for name, value in vars(self).items() if name not in ("message", "envelope")}
        message = self.message or Message(self.id, self.queue, None)
        properties = message.properties
        return {
            **about,
            "published_at_s": self.published_at_s,
            "priority": message.priority,
            "retries": message.retries,
            "timeout_s": message.timeout_s,
            "task": properties.task if properties else "",
            "key": properties.key if properties else "",
            "headers": dict(properties.headers) if properties else {},
            "body": message.body,
            "error": dict(self.error),
        }


def stored_message(
    k: QueueKeys,
    raw_id: bytes,
    envelope: bytes,
    counts: bytes | None,
    place: str,
    *,
    due_ms: float | None = None,
    worker: str = "",
) -> StoredMessage:
    """The message of an id, its envelope and its stored attempts. What is unreadable is left out."""
    message_id, problem = as_text(raw_id), ""
    message: Message | None = None
    try:
        message = decode_envelope(message_id, k.queue, envelope)
    except DecodeError as error:
        problem = str(error)
    attempts = read_attempts(counts)
    state = PROCESSING if place == PROCESSING else DEAD_LETTERED if k.is_dead_letter_queue else place
    return StoredMessage(
        message_id,
        k.queue,
        WAITING if state in ("prioritized", "") else state,
        place,
        message,
        envelope,
        problem,
        attempts.retries,
        attempts.crashes,
        attempts.delivery - 1,
        attempts.last_crash_record(),
        due_ms / 1000 if due_ms is not None and math.isfinite(due_ms) else None,
        worker,
        attempts.last_error,
    )
