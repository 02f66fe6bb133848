"""The context of a delivery: the second argument of a handler."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Iterable, Mapping, TypeVar

from bizzmq.message import Message
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.keys import logical_queue
from bizzmq.protocol.records import Progress, encode_progress
from bizzmq.resume import ResumedLoop
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.validation import checks
from bizzmq.worker_state import WorkerState

T = TypeVar("T")
_logger = logging.getLogger("bizzmq.messages")


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

    __slots__ = ("_attempts", "_loops", "_message", "_started_s", "_state", "_wants_draining", "timeout_s")

    def __init__(
        self, message: Message, attempts: Attempts, started_s: float, timeout_s: float | None, state: WorkerState
    ) -> None:
        self._message = message
        self._started_s = started_s
        self._attempts = attempts
        self.timeout_s = timeout_s
        self._state = state
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
        return self._state.drain_at_s is not None

    def raise_on_drain(self) -> None:
        """Ask for `Draining` to be raised in this handler shortly before the deadline of a drain.

        For handlers that can stop half-way. Without this call a handler runs until it finishes or is killed.
        """
        self._wants_draining = True

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report how far this message is, for `Handle.status`, `bizzmq watch` and `bizzmq show`. Costs microseconds.

        Only the latest report counts; it is stored within a second.

        Args:
            done: what is done, in any unit.
            total: all that is to be done, in the same unit; None if that is unknown.
            note: a short text for people: 100 characters are kept.

        Raises:
            ConfigurationError: an argument is invalid.
        """
        most = None if total is None else checks.number("total", total, 0)
        progress = Progress(checks.number("done", done, 0), most, checks.text("note", note), time.time())
        self._state.records.progress(self._message, encode_progress(progress))

    def log(self, message: str, *arguments: Any, level: int = logging.INFO) -> None:
        """Log a line of this message, and keep it as a part of its output (see docs/guide/output.md).

        It is kept at every level, and also from threads that the handler has started.

        Args:
            message: the text; with arguments, a format as for `logging`, such as `"%d rows"`.
            level: of the log record, which the logger `bizzmq.messages` gets.
        """
        text = str(message) % arguments if arguments else str(message)
        now_s = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s))
        self.write_output(f"{stamp}.{int(now_s * 1000) % 1000:03d}Z {logging.getLevelName(level):<7} {text}")
        log(_logger, level, text, id=self.id, queue=self.queue)

    def write_output(self, text: str) -> None:
        """Keep lines as a part of the message's output, while it runs. For code of BizzMQ."""
        self._state.records.write_output(self._message, self.delivery, text)

    def checkpoint(self, state: Any) -> None:
        """Save a state, from which the next delivery of this message can go on: it finds it in `last_checkpoint`.

        A state of up to 4,000 bytes as JSON costs microseconds, and survives the death of this process at once, that of
        the host after a second. A larger one is sent to Redis before this call returns. It ends with the message.

        Args:
            state: JSON, at most 1 MiB.

        Raises:
            CheckpointError: the state is no JSON, or too large.
            BrokerUnavailableError: a large state cannot be sent.
        """
        records = self._state.records
        records.save(self._message, records.load(self._message)._replace(state=state))

    @property
    def last_checkpoint(self) -> Any:
        """What the last `checkpoint` has saved, in this delivery or an earlier one; None if there is nothing.

        A checkpoint that another version of the task has saved does not count.
        """
        return self._state.records.load(self._message).state

    def resume(
        self,
        iterable: Iterable[T],
        every: int = 100,
        key: Callable[[T], Any] | None = None,
        name: str | None = None,
        state: Any = None,
    ) -> ResumedLoop[T]:
        """Loop over something, and go on there in the next delivery, if this one does not reach the end.

        In a drain, `Draining` is raised between two items, and the message goes back without blame.

        Args:
            iterable: gives the same items in the same order in each delivery. Of a list, a range or another sequence
                the items that are done are not read again; of others they are skipped.
            every: save the position each time after so many items. After a kill, that many are done again at most.
            key: what stands for the position of an item, such as its id, as JSON: items whose key is not greater than
                the last one that is done are skipped. For items that may come or go between two deliveries.
            name: of this loop, if a handler has several and does not always begin them in the same order.
            state: what `state` of the returned loop begins with: JSON that is saved together with the position.

        Raises:
            ConfigurationError: an argument is invalid.
            CheckpointError: a key is no JSON.
        """
        count = getattr(self, "_loops", 0)
        self._loops = count + 1
        loop = str(count) if name is None else f"={checks.text('name', name)}"
        checks.integer("every", every, 1)
        return ResumedLoop(self._state, self._message, loop, iterable, every, key, state)

    @property
    def running_for_s(self) -> float:
        """Seconds since this delivery started."""
        return clock.monotonic() - self._started_s

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the time limit or the deadline of a drain, the earlier of the two; None without either."""
        now_s = clock.monotonic()
        ends = [self._started_s + self.timeout_s] if self.timeout_s else []
        if self._state.drain_at_s is not None:
            ends.append(self._state.drain_at_s)
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
