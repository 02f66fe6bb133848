"""The context of a delivery: the second argument of a handler."""

from __future__ import annotations

import time
from typing import Any, Mapping

from bizzmq.message import Message
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.keys import logical_queue
from bizzmq.utils import clock


class DrainDeadline:
    """The time at which a drain ends; shared by all deliveries of a worker.

    Attributes:
        at_s: monotonic seconds; None unless the pool is draining.
    """

    def __init__(self) -> None:
        self.at_s: float | None = None


class Context:
    """One delivery of a message: the second argument of a handler that takes two.

    Attributes:
        id: the message's id, the same in every delivery.
        queue: the name of the queue that the message was claimed from; for a shard, the name of the whole queue.
        retry_count: how often the message has failed before, including the queue's initial `retry` count.
        delivery: the number of this delivery, from 1. Above 1, the handler may have run for this message before.
        priority: the priority with which the message was published.
        published_at_s: when the message was published, seconds since the epoch by Redis's clock.
        timeout_s: the time limit of this delivery in seconds, or None.
        error: in a dead-letter queue, the record of the error that put the message there; None elsewhere. A mapping
            with `error_type`, `error`, `traceback`, `failed_at` (UTC), `queue`, `worker`, `host` and, for an error of
            the handler, `retry_count` and `delivery`.
        task: the name of the message's task; "" for a plain message.
        headers: the texts that came with the message, by name.
        key: the key that the message was published with; "" for none.
        body: the JSON value that was published; for a task, its arguments by name.
    """

    __slots__ = ("_attempts", "_drain", "_message", "_started_s", "_wants_draining", "timeout_s")

    def __init__(
        self, message: Message, attempts: Attempts, started_s: float, timeout_s: float | None, drain: DrainDeadline
    ) -> None:
        self._message = message
        self._started_s = started_s
        self._attempts = attempts
        self.timeout_s = timeout_s
        self._drain = drain
        self._wants_draining = False

    def __repr__(self) -> str:
        return f"Context(id={self.id!r}, queue={self.queue!r}, delivery={self.delivery})"

    @property
    def queue(self) -> str:
        return logical_queue(self._message.queue)

    @property
    def id(self) -> str:
        return self._message.id

    @property
    def retry_count(self) -> int:
        return self._attempts.retries

    @property
    def delivery(self) -> int:
        return self._attempts.delivery

    @property
    def priority(self) -> int:
        return self._message.priority

    @property
    def error(self) -> Mapping[str, Any] | None:
        return self._message.error

    @property
    def task(self) -> str:
        properties = self._message.properties
        return properties.task if properties is not None else ""

    @property
    def headers(self) -> Mapping[str, str]:
        properties = self._message.properties
        return properties.headers if properties is not None else {}

    @property
    def key(self) -> str:
        properties = self._message.properties
        return properties.key if properties is not None else ""

    @property
    def body(self) -> Any:
        return self._message.body

    @property
    def published_at_s(self) -> float:
        return published_us(self._message.id) / 1e6

    @property
    def started_at_s(self) -> float:
        """The time at which this delivery started, seconds since the epoch by this host's clock."""
        return time.time() - self.running_for_s

    @property
    def last_crash(self) -> Mapping[str, Any] | None:
        """The record of the last crash of a worker that was running this message; None if there was none.

        A mapping like `error`, with `error_type` "WorkerCrashed" and what is known about the worker's end.
        """
        return self._attempts.last_crash_record()

    @property
    def draining(self) -> bool:
        """Whether the pool is draining: it claims no more messages and ends."""
        return self._drain.at_s is not None

    def raise_on_drain(self) -> None:
        """Ask for `Draining` to be raised in this handler shortly before the deadline of a drain.

        For handlers that can stop half-way. Without this call a handler runs until it finishes or is killed.
        """
        self._wants_draining = True

    @property
    def running_for_s(self) -> float:
        """Seconds since this delivery started."""
        return clock.monotonic() - self._started_s

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the time limit or the deadline of a drain, the earlier of the two; None without either."""
        now_s = clock.monotonic()
        ends = [self._started_s + self.timeout_s] if self.timeout_s else []
        if self._drain.at_s is not None:
            ends.append(self._drain.at_s)
        return max(0.0, min(ends) - now_s) if ends else None


def attempts_of(context: Context) -> Attempts:
    """The counts of a delivery's earlier attempts, for code of BizzMQ."""
    return context._attempts  # noqa: SLF001 - private to users, not to this module


def wants_draining(context: Context) -> bool:
    """Whether the handler has called `raise_on_drain`."""
    return context._wants_draining  # noqa: SLF001 - private to users, not to this module


def message_of(context: Context) -> Message:
    """The message of a delivery, for code of BizzMQ."""
    return context._message  # noqa: SLF001 - private to users, not to this module
