"""Errors of requests to pools."""

from __future__ import annotations

from bizzmq.validation.base_errors import BizzMQError


class PoolNotFoundError(BizzMQError, ValueError):
    """No such pool is registered on any queue, or on the queue that was named.

    Attributes:
        pool: the id of its supervisor.
    """

    def __init__(self, pool: str) -> None:
        super().__init__(f"there is no pool {pool}: bizzmq pools lists them")
        self.pool = pool


class NotRunningError(BizzMQError, ValueError):
    """No worker runs this message.

    Attributes:
        message_id: its id.
    """

    def __init__(self, message_id: str, state: str = "") -> None:
        super().__init__(
            f"message {message_id} is {state}, no worker runs it" if state else f"no queue has message {message_id}"
        )
        self.message_id = message_id


class PoolSilentError(BizzMQError):
    """No pool answers; the text says where it was expected, and what has become of the request."""


class PoolRefusesError(BizzMQError):
    """The pool could not do what was asked; the text is its answer."""
