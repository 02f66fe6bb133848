"""All errors of BizzMQ. They carry facts as attributes, not only text."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from bizzmq.validation import checks
from bizzmq.validation.base_errors import BizzMQError as BizzMQError  # noqa: PLC0414 - this is its public home
from bizzmq.validation.base_errors import ConfigurationError as ConfigurationError  # noqa: PLC0414 - this is its public home
from bizzmq.validation.base_errors import PickledWhole


class BrokerUnavailableError(BizzMQError, ConnectionError):
    """Redis is unavailable: it cannot be reached, is loading its data, fails over, or refuses this client.

    The command may or may not have been executed. All of BizzMQ's commands are safe to repeat.
    """


class BrokerRefusesError(BrokerUnavailableError):
    """Redis answers but refuses the command: it is loading its data, is read-only, or rejects the credentials."""


class BrokerUnusableError(BrokerRefusesError):
    """Redis answers with an error that waiting does not cure.

    Examples are an unknown database, wrong credentials, another kind of server, or an untrusted certificate. At the
    start of a program this is wrong input. Later, for example after a password was changed, it is an outage.
    """


class ConnectionLimitError(BrokerUnavailableError):
    """All connections of a client were in use, and none became free in time; nothing was sent.

    Attributes:
        limit: the number of connections that the client may use.
    """

    def __init__(self, limit: int, waited_s: float) -> None:
        super().__init__(
            f"all {limit} connections of this client were in use for {waited_s:g} s; "
            "use fewer threads or tasks at once, or a larger max_connections of the client"
        )
        self.limit = limit


class BrokerFullError(BizzMQError):
    """Redis has reached its memory limit and stores nothing more; nothing was published."""


class NotConfirmedError(BizzMQError):
    """Messages are stored, but were not confirmed in time as `MessageOptions(confirm=...)` requires.

    They are handled like all others, unless Redis fails over or loses its data first. Publishing them again would
    duplicate them.

    Attributes:
        message_ids: the ids of the stored messages.
        message_id: the first of them.
    """

    def __init__(self, message_ids: list[str], wanted: str, reached: int) -> None:
        super().__init__(
            f"{len(message_ids)} message(s) from {message_ids[0]} on are stored, but not confirmed by {wanted}: "
            f"{reached} confirmed in time"
        )
        self.message_ids = message_ids
        self.message_id = message_ids[0]


class BrokerReplyError(BizzMQError):
    """Redis replied with an error that repeating the command does not cure."""


class WrongTypeError(BrokerReplyError):
    """A key of BizzMQ has the wrong type in Redis: another program writes to this database.

    Attributes:
        key: the key; "" if it is unknown, because Redis does not name it, or if it has been repaired since.
        queue: the name of the queue that it belongs to, or "".
        wanted: the type that the key should have, as Redis's TYPE calls it.
        found: the type that it has.
    """

    def __init__(self, text: str, key: str = "", queue: str = "", wanted: str = "", found: str = "") -> None:
        super().__init__(text)
        self.key = key
        self.queue = queue
        self.wanted = wanted
        self.found = found


class HandlerResultError(BizzMQError, TypeError):
    """A handler returned a value that shows that its work was not done: a generator, a function, or a lost future."""


class ClosedError(BizzMQError):
    """The client is closed; create a new one."""


class QueueNotFoundError(BizzMQError, ValueError):
    """The queue does not exist.

    Attributes:
        queue: the name of the queue, or of its shard.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(f"queue {queue!r} does not exist; call create_queue first")
        self.queue = queue


class QueueInUseError(BizzMQError):
    """A queue is not deleted, because it has messages or workers; nothing was changed.

    Attributes:
        queue: the name of the queue.
        messages: how many messages the queue has, including those that workers hold.
        dead_letters: how many messages its dead-letter queue has.
        workers: how many workers are registered on them; of supervisors, if there are no workers.
    """

    def __init__(self, queue: str, messages: int, dead_letters: int, workers: int) -> None:
        counted = ((messages, "message"), (dead_letters, "dead letter"), (workers, "registered worker"))
        found = " and ".join(f"{count} {what}{'s' * (count != 1)}" for count, what in counted if count)
        super().__init__(f"the queue {queue!r} has {found}, so it was not deleted")
        self.queue = queue
        self.messages = messages
        self.dead_letters = dead_letters
        self.workers = workers


class MessageInUseError(BizzMQError):
    """A message is not deleted, because a worker holds it; nothing was changed.

    Attributes:
        message_id: the id of the message.
        queue: the name of the queue, or of its shard.
        worker_id: the id of the worker; "" if the message was moved meanwhile, or is in no list (see `bizzmq audit`).
    """

    def __init__(self, message_id: str, queue: str, worker_id: str) -> None:
        holder = f"the worker {worker_id} is processing it" if worker_id else "it is in no list: see bizzmq audit"
        super().__init__(f"the message {message_id} of the queue {queue!r} was not deleted: {holder}")
        self.message_id = message_id
        self.queue = queue
        self.worker_id = worker_id


class EncodeError(BizzMQError, ValueError):
    """A message cannot be encoded as JSON."""


class DecodeError(BizzMQError, ValueError):
    """A stored message or stored options cannot be decoded."""


class SignatureError(DecodeError):
    """The signature of a stored message is wrong: made with another key, or for another message or queue."""


class UnsignedError(SignatureError):
    """A stored message has no signature, but only signed messages are accepted."""


class PayloadTooLargeError(BizzMQError, ValueError):
    """A message is larger than the limit.

    Attributes:
        size_bytes: the size of the encoded message.
        limit_bytes: the largest size that is allowed.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the message has {size_bytes} bytes as JSON, and the limit is {limit_bytes}; "
            "store large data elsewhere and publish a reference to it"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


QUEUE_TROUBLE = (BrokerReplyError, QueueNotFoundError, DecodeError)
"""Errors that concern a single queue: a key of the wrong type, a script's error, options that cannot be decoded."""


class ArgumentsError(BizzMQError, TypeError):
    """The arguments of a task are wrong: they do not fit its signature or its annotations, or JSON would change them.

    Publishing raises it, and nothing is published. In a worker it dead-letters the message at once, without retries.

    Attributes:
        is_received: a worker has received these arguments; else a caller has given them.
    """

    is_received = False


class UnknownTaskError(BizzMQError):
    """A worker does not know the task of a message, or not that version of it: its code may be older.

    The message waits, without blame, until a worker with newer code claims it.

    Attributes:
        limit_s: how long it may wait before it is dead-lettered, seconds.
    """

    limit_s = 86400.0


class HandlerFailedError(BizzMQError):
    """Raised instead of a result: the message has failed for good.

    Attributes:
        message_id: the id of the message.
        error_type: the name of the error's class.
        error: the text of the error.
        traceback: the traceback in the worker, as text; "" if there is none.
        state: what has become of the message: "dead_lettered" or "discarded".
        retries: how often the message was retried.
    """

    def __init__(
        self, message_id: str, error_type: str, error: str, traceback: str = "", state: str = "", retries: int = 0
    ) -> None:
        super().__init__(f"message {message_id} failed and is {state or 'gone'}: {error_type}: {error}")
        self.message_id = message_id
        self.error_type = error_type
        self.error = error
        self.traceback = traceback
        self.state = state
        self.retries = retries


class ResultExpired(BizzMQError):  # noqa: N818 - the word of the published design
    """The message has ended, and its result is not kept any more."""


class ResultNotKept(BizzMQError):  # noqa: N818 - the word of the published design
    """The message keeps no result: its task, or its options, have no `result_ttl_s`."""


class ResultTooLargeError(BizzMQError, ValueError):
    """A handler's result is larger than 1 MiB as JSON. Its message has failed.

    Attributes:
        size_bytes: the size of the encoded result.
        limit_bytes: the largest size that is allowed.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the result has {size_bytes} bytes as JSON, and the limit is {limit_bytes}; "
            "store large data elsewhere and return a reference to it"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class LeaseLostError(BizzMQError):
    """The worker is no longer registered: its messages belong to other workers, and nothing was changed.

    Attributes:
        queue: the name of the queue.
        worker_id: the id of the worker.
    """

    def __init__(self, queue: str, worker_id: str) -> None:
        super().__init__(f"worker {worker_id} has lost its lease on queue {queue!r}")
        self.queue = queue
        self.worker_id = worker_id


class RetryLater(PickledWhole, Exception):  # noqa: N818 - handlers raise it as an instruction, not as an error
    """Raised by a handler to run this message again later.

    It counts as a retry, so the limit of retries applies; only the delay is the handler's choice.

    Args:
        delay_s: seconds, a timedelta, or a datetime with a time zone, by this host's clock. A negative delay or a time
            in the past retries at once.
        reason: the text of the error.

    Raises:
        ConfigurationError: `delay_s` is invalid. In a handler this is a failure like any other.
    """

    def __init__(self, delay_s: checks.Seconds | datetime, reason: str = "") -> None:
        self.delay_s = _delay_s(delay_s)
        super().__init__(reason or f"the handler asked for a retry in {self.delay_s:g} s")


def _delay_s(given: Any) -> float:
    if isinstance(given, datetime):
        return max(0.0, checks.moment("delay_s", given) - time.time())
    return checks.seconds("delay_s", given, least=-checks.MAX_S, otherwise=", or a datetime with a time zone")


class Reject(PickledWhole, Exception):  # noqa: N818 - handlers raise it as an instruction, not as an error
    """Raised by a handler to give this message up: it is dead-lettered or discarded now, and never retried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MessageTimeout(PickledWhole, Exception):  # noqa: N818 - the word that users look for
    """Raised in a handler when its message reaches the time limit.

    A handler may catch it to clean up. If the handler does not end within a grace period, its worker is killed.

    Attributes:
        limit_s: the time limit, seconds.
    """

    def __init__(self, limit_s: float, what: str = "time") -> None:
        super().__init__(f"the message has reached its {what} limit of {limit_s:g} s")
        self.limit_s = limit_s


class CpuTimeExceeded(MessageTimeout):
    """Raised in a handler when its message reaches the limit of CPU time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s, "CPU time")


class MemoryLimitExceeded(BizzMQError):  # noqa: N818 - like MessageTimeout, the reason of a failure
    """A worker was killed because it exceeded its hard memory limit while it ran a message."""


class Draining(PickledWhole, Exception):  # noqa: N818 - an instruction, not an error
    """Raised in a handler shortly before the deadline of a drain, if it has called `Context.raise_on_drain`.

    If the handler does not catch it, the message returns to the head of its queue. This does not count as a failure.
    """
