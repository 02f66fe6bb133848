"""The methods of a client that wait for results."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bizzmq.protocol.ids import is_message_id
from bizzmq.protocol.keys import QueueKeys, owner_of
from bizzmq.results.awaited import Awaited, Resolution, value_of
from bizzmq.results.endings import endings
from bizzmq.results.reader import ResultReaders
from bizzmq.validation import checks


class ResultClient:
    """What a client does with the results of messages."""

    _result_readers: ResultReaders

    def _local_resolution(self, message_id: str) -> Resolution | None:  # noqa: ARG002 - clients without Redis know it
        return None

    def result(self, queue_name: str, message_id: str, timeout_s: float | timedelta | None = None) -> Any:
        """What the handler of a message has returned. Waits until the message has ended.

        The message must have been published with `result_ttl_s`. The wait goes on while Redis is unavailable.

        Args:
            timeout_s: how long to wait, seconds or a timedelta; None for no limit.

        Returns:
            The JSON value.

        Raises:
            HandlerFailedError: the message has failed for good: it is dead-lettered, or discarded.
            MessageCancelled: the message was cancelled.
            ResultNotKept: the message was published without `result_ttl_s`. Raised at once while it is stored.
            ResultExpired: the message has ended, or was deleted, or was never published, and no result is kept.
            TimeoutError: the message has not ended in time.
            ConfigurationError: a value is invalid.
            DecodeError, WrongTypeError: what is stored as the result is not BizzMQ's.
            ConnectionLimitError: 100 other threads wait for results.
            BrokerUnavailableError: Redis is unavailable when the wait begins, or refuses it for good.
            ClosedError: the client is closed.
        """
        limit_s = checked_timeout(timeout_s)
        readers, queue = self._result_readers, checked_queue(queue_name)
        readers.require_open()
        awaited = Awaited(checked_id(message_id), readers.shards_of(queue))
        return value_of(awaited.message_id, ending_of(readers, awaited, limit_s))


def result_readers(client: ResultClient) -> ResultReaders:
    """The connections of a client that wait for results. For code of BizzMQ."""
    return client._result_readers  # noqa: SLF001 - private to users, not to this module


def local_resolution(client: ResultClient, message_id: str) -> Resolution | None:
    """What has become of a message of a client without Redis; None for any other client. For code of BizzMQ."""
    return client._local_resolution(message_id)  # noqa: SLF001 - as above


def ending_of(readers: ResultReaders, awaited: Awaited, timeout_s: float | None) -> Any:
    """What has become of one message. Raises as `endings`."""
    for ended in endings([(readers, [awaited])], timeout_s):
        return ended.resolution
    raise AssertionError("a wait ends by a result or by an error")


def checked_timeout(value: Any) -> float | None:
    """How long to wait, seconds; None for no limit. Raises ConfigurationError."""
    return None if value is None else checks.seconds("timeout_s", value, otherwise=", or None")


def checked_queue(name: Any) -> str:
    """The name of a queue whose messages have results. Raises ConfigurationError."""
    return owner_of(QueueKeys(checks.text("queue_name", name)).queue)


def checked_id(message_id: Any) -> str:
    """A message's id as text. Raises ConfigurationError."""
    text = checks.text("message_id", message_id)
    if not is_message_id(text.encode("utf-8", "replace")):
        checks.refuse("message_id", "an id that publishing has returned", message_id)
    return text
