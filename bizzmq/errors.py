"""Every error that BizzMQ raises; each carries facts, not only prose."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from bizzmq import checks
from bizzmq.error_base import BizzMQError as BizzMQError  # noqa: PLC0414 - this is its public home
from bizzmq.error_base import ConfigurationError as ConfigurationError  # noqa: PLC0414 - this is its public home
from bizzmq.error_base import Travels


class BrokerUnavailableError(BizzMQError, ConnectionError):
    """Redis cannot be used now: unreachable, loading, failing over or refusing us.

    The command may or may not have been executed. All transitions are safe to repeat.
    """


class BrokerRefusesError(BrokerUnavailableError):
    """Redis answers, but not what was asked: it is loading, read-only, or does not accept our credentials."""


class BrokerUnusableError(BrokerRefusesError):
    """Redis answers what no waiting mends: no such database, wrong credentials, another kind of server, no trust.

    At the start of a program that is wrong input. Later, as when a password is changed, it is an outage.
    """


class ConnectionLimitError(BrokerUnavailableError):
    """All connections of a client were in use, and none of them became free in time; nothing was sent."""

    def __init__(self, limit: int, waited_s: float) -> None:
        super().__init__(
            f"all {limit} connections of this client were in use for {waited_s:g} s; "
            "use fewer threads at once, or BizzMQ(..., max_connections=N)"
        )
        self.limit = limit


class BrokerFullError(BizzMQError):
    """Redis is at its memory limit and refused to store more; nothing was published."""


class NotConfirmedError(BizzMQError):
    """Messages are stored, but not where `MessageOptions(confirm=...)` wants them, too, at least not in time.

    Publishing them again would double them. They are handled like all others, unless Redis fails over or loses its
    data before it has caught up.

    Attributes:
        message_ids: of the messages that are stored.
    """

    def __init__(self, message_ids: list[str], wanted: str, reached: int) -> None:
        super().__init__(
            f"{len(message_ids)} message(s) from {message_ids[0]} on are stored, but not confirmed by {wanted}: "
            f"{reached} in time"
        )
        self.message_ids = message_ids
        self.message_id = message_ids[0]


class BrokerReplyError(BizzMQError):
    """Redis answered with an error that repeating the command cannot cure."""


class WrongTypeError(BrokerReplyError):
    """A key of ours is of another type in Redis: something else writes into this database.

    Attributes:
        key: the key; "" if that could not be found out, since Redis names none, or if it is mended by now.
        queue: the queue that it belongs to, or "".
        wanted: its type as it should be, in the word of Redis's TYPE.
        found: its type as it is.
    """

    def __init__(self, text: str, key: str = "", queue: str = "", wanted: str = "", found: str = "") -> None:
        super().__init__(text)
        self.key = key
        self.queue = queue
        self.wanted = wanted
        self.found = found


class HandlerResultError(BizzMQError, TypeError):
    """A handler returned something that shows that its work was not done: a generator, a function, a lost future."""


class ClosedError(BizzMQError):
    """The client has been closed; make a new one."""


class QueueNotFoundError(BizzMQError, ValueError):
    """The queue was never created."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"queue {queue!r} does not exist; call create_queue first")
        self.queue = queue


class EncodeError(BizzMQError, ValueError):
    """A message that cannot be written as JSON."""


class DecodeError(BizzMQError, ValueError):
    """A stored envelope that cannot be read."""


class SignatureError(DecodeError):
    """A stored envelope without a good signature, where only signed ones are accepted.

    Raised itself if there is a signature, and it is wrong: by another key, or of another message or queue.
    """


class UnsignedError(SignatureError):
    """A stored envelope that is not signed at all, where only signed ones are accepted."""


class PayloadTooLargeError(BizzMQError, ValueError):
    """A message larger than the limit.

    Attributes:
        size_bytes: the size of the encoded message.
        limit_bytes: what is allowed.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the message has {size_bytes} bytes as JSON, the limit is {limit_bytes}; "
            "store large data elsewhere and publish a reference to it"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


QUEUE_TROUBLE = (BrokerReplyError, QueueNotFoundError, DecodeError)
"""What is wrong with one queue and no other: a key of a wrong type, a script's error, options that cannot be read."""


class LeaseLostError(BizzMQError):
    """This worker is no longer registered: what it held belongs to others, and nothing was changed."""

    def __init__(self, queue: str, worker_id: str) -> None:
        super().__init__(f"worker {worker_id} has lost its lease on queue {queue!r}")
        self.queue = queue
        self.worker_id = worker_id


class RetryLater(Travels, Exception):  # noqa: N818 - handlers raise it as an instruction, not as an error
    """Raised by a handler: run this message again later.

    It counts as one retry; only the delay is the handler's choice.

    Args:
        delay_s: seconds, or a timedelta; or a datetime with a time zone, by this host's clock. Below 0, or one that has
            passed: at once.

    Raises:
        ConfigurationError: it is none of these. In a handler that is a failure like any other.
    """

    def __init__(self, delay_s: checks.Seconds | datetime, reason: str = "") -> None:
        self.delay_s = _delay_s(delay_s)
        super().__init__(reason or f"the handler asked to be retried in {self.delay_s:g} s")


def _delay_s(given: Any) -> float:
    if isinstance(given, datetime):
        return max(0.0, checks.moment("delay_s", given) - time.time())
    return checks.seconds("delay_s", given, least=-checks.MAX_S, otherwise=", or a datetime with a time zone")


class Reject(Travels, Exception):  # noqa: N818 - handlers raise it as an instruction, not as an error
    """Raised by a handler: never retry this message; dead-letter it (or discard it) now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MessageTimeout(Travels, Exception):  # noqa: N818 - the word that users look for
    """Raised in a handler whose message has reached its time limit.

    A handler may catch it to clean up; if it then goes on, its worker is killed after a grace period.
    """

    def __init__(self, limit_s: float, what: str = "time") -> None:
        super().__init__(f"the message has reached its {what} limit of {limit_s:g} s")
        self.limit_s = limit_s


class CpuTimeExceeded(MessageTimeout):
    """Raised in a handler whose message has used up its CPU time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s, "CPU time")


class MemoryLimitExceeded(BizzMQError):  # noqa: N818 - like MessageTimeout, the reason of a failure
    """A worker was killed because it had grown past its hard memory limit while it ran a message."""


class Draining(Travels, Exception):  # noqa: N818 - an instruction, not an error
    """Raised in a handler that asked for it (`Context.raise_on_drain`) when a drain nears its end.

    If it leaves the handler, the message goes back to the head of its queue, and nobody is blamed.
    """
