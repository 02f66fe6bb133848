"""Errors about queues and messages."""

from __future__ import annotations

from bizzmq.errors.broker import BrokerReplyError
from bizzmq.validation.base_errors import BizzMQError


class QueueNotFoundError(BizzMQError, ValueError):
    """The queue does not exist.

    Attributes:
        queue: the name of the queue, or of its shard.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(f"queue {queue!r} does not exist; call create_queue first")
        self.queue = queue


class ScheduleNotFoundError(BizzMQError, ValueError):
    """There is no schedule with this name.

    Attributes:
        name: the name.
        queue: the name of the queue that was searched; "" for all queues.
    """

    def __init__(self, name: str, queue: str = "") -> None:
        where = f"queue {queue!r} has no" if queue else "no queue has a"
        super().__init__(f"{where} schedule {name!r}")
        self.name = name
        self.queue = queue


class QueueFullError(BizzMQError):
    """The queue has reached its `max_length`, and refuses more; nothing was published.

    Attributes:
        queue: the name of the queue, or of its shard.
        max_length: how many messages may wait in it, delayed ones included.
    """

    def __init__(self, queue: str, max_length: int) -> None:
        super().__init__(
            f"the queue {queue!r} is full: at most {max_length} messages may wait in it; publish later, or change "
            "its max_length"
        )
        self.queue = queue
        self.max_length = max_length


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


class UniqueKeyInUseError(BizzMQError):
    """A dead letter is not replayed, because another message has its unique key by now; nothing was changed.

    Attributes:
        queue: the name of the queue, or of its shard.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"another message of the queue {queue!r} has the unique key of this dead letter, which was not replayed: "
            "replay it once that message has ended"
        )
        self.queue = queue


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
