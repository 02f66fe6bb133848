"""Errors about tasks and results."""

from __future__ import annotations

from bizzmq.validation.base_errors import BizzMQError


class ArgumentsError(BizzMQError, TypeError):
    """The arguments of a task are wrong: they do not fit its signature or its annotations, or JSON would change them.

    Publishing raises it, and nothing is published. In a worker it dead-letters the message at once, without retries.

    Attributes:
        is_received: a worker has received these arguments; else a caller has given them.
    """

    is_received = False


class CheckpointError(BizzMQError, ValueError):
    """A checkpoint is no JSON, is larger than 1 MiB, or is made where none can be made."""


class UnknownTaskError(BizzMQError):
    """A worker does not know the task of a message, or not that version of it: its code may be older.

    The message waits, without blame, until a worker with newer code claims it.

    Attributes:
        limit_s: how long it may wait before it is dead-lettered, seconds.
    """

    limit_s = 86400.0


class MissingKeyError(UnknownTaskError):
    """A worker has no key for the encrypted body of a message. The message waits as for an unknown task."""


class HandlerResultError(BizzMQError, TypeError):
    """A handler returned a value that shows that its work was not done: a generator, a function, or a lost future."""


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


class MessageExpired(BizzMQError):  # noqa: N818 - the word of the published design
    """Raised instead of a result: the message was not started within its `expires_s`, and never will be.

    Attributes:
        message_id: the id of the message.
    """

    def __init__(self, message_id: str) -> None:
        super().__init__(f"message {message_id} was not started in time: it has expired")
        self.message_id = message_id


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
