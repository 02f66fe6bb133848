"""What a handler may know about the delivery that it is handling."""

from __future__ import annotations

import time
from typing import Any, Mapping

from bizzmq import clock
from bizzmq.ids import published_us
from bizzmq.keys import whole_of
from bizzmq.message import Attempts, Message


class Deadline:
    """The moment at which a drain ends; shared by all deliveries of a worker. Monotonic seconds."""

    def __init__(self) -> None:
        self.at_s: float | None = None


class Context:
    """The second argument of a handler that takes one.

    Attributes:
        id: the message's id, the same in every delivery.
        queue: the queue that it was claimed from; of a queue with shards, its name.
        retry_count: how often it has failed before, the queue's initial count included.
        delivery: the number of this delivery; more than 1 means that it may have run before.
        published_at_s: when it was published, seconds since the epoch by Redis's clock.
        timeout_s: its time limit in seconds, or None.
        error: on a dead-letter queue, the record of why it is there; None elsewhere.
    """

    __slots__ = ("_message", "_started_s", "attempts", "drain", "timeout_s", "wants_draining")

    def __init__(
        self, message: Message, attempts: Attempts, started_s: float, timeout_s: float | None, drain: Deadline
    ) -> None:
        self._message = message
        self._started_s = started_s
        self.attempts = attempts
        self.timeout_s = timeout_s
        self.drain = drain
        self.wants_draining = False

    def __repr__(self) -> str:
        return f"Context(id={self.id!r}, queue={self.queue!r}, delivery={self.delivery})"

    @property
    def queue(self) -> str:
        return whole_of(self._message.queue)

    @property
    def id(self) -> str:
        return self._message.id

    @property
    def retry_count(self) -> int:
        return self.attempts.retries

    @property
    def delivery(self) -> int:
        return self.attempts.delivery

    @property
    def priority(self) -> int:
        return self._message.priority

    @property
    def error(self) -> Mapping[str, Any] | None:
        return self._message.error

    @property
    def published_at_s(self) -> float:
        return published_us(self._message.id) / 1e6

    @property
    def started_at_s(self) -> float:
        """When this delivery started, seconds since the epoch by this host's clock."""
        return time.time() - self.running_for_s

    @property
    def last_crash(self) -> Mapping[str, Any] | None:
        """How the last worker that died while running this message ended; None if none did."""
        return self.attempts.last_crash_record()

    @property
    def draining(self) -> bool:
        """Whether the pool is being drained."""
        return self.drain.at_s is not None

    def raise_on_drain(self) -> None:
        """From now on, have `Draining` raised in this handler when a drain nears its end.

        For handlers that can stop in the middle: without it they run on until they finish or are killed.
        """
        self.wants_draining = True

    @property
    def running_for_s(self) -> float:
        """Seconds since this delivery started."""
        return clock.monotonic() - self._started_s

    @property
    def time_left_s(self) -> float | None:
        """Seconds until its time limit or the end of a drain, whichever comes first; None without either."""
        now_s = clock.monotonic()
        ends = [self._started_s + self.timeout_s] if self.timeout_s else []
        if self.drain.at_s is not None:
            ends.append(self.drain.at_s)
        return max(0.0, min(ends) - now_s) if ends else None
