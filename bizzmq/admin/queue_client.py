"""The methods of a client that create, inspect and change queues."""

from __future__ import annotations

from typing import Any, Callable, Mapping, TypeVar

from bizzmq.admin import (
    create,
    delete,
    delete_queue,
    find,
    listing,
    message_status,
    purge,
    show,
    stats,
    update,
)
from bizzmq.admin.opening import opened
from bizzmq.admin.stored_message import WAITING, StoredMessage
from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation
from bizzmq.broker.replies import as_bytes
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.sealing import Sealer
from bizzmq.queue import QueueOptions, QueueStats
from bizzmq.validation import checks

T = TypeVar("T")


class QueueClient:
    """What the command `bizzmq` does with queues and their messages, as methods with the same names."""

    _sealer: Sealer | None = None

    def _execute(self, action: Callable[[Broker], T]) -> T:
        """Run an action that is safe to repeat, over a connection of the client."""
        raise NotImplementedError  # the client has the connections

    def create_queue(self, queue_name: str, options: QueueOptions | None = None) -> bool:
        """Create a queue, and its dead-letter queue if the options ask for one.

        An existing queue keeps its options; if they differ from `options`, a warning is logged. The exception is a
        queue whose options nobody has chosen yet, for example one that a pool has created: it takes `options`.

        Returns:
            True if the queue was created or took `options`.

        Raises:
            ConfigurationError: the name or the options are invalid.
            BrokerUnavailableError, ClosedError
        """
        queue_name = checked_name(queue_name)
        checks.instance("options", options, QueueOptions, QueueOptions())
        return self._execute(lambda broker: create.create(broker, queue_name, options))

    def update_queue(self, queue_name: str, options: QueueOptions | Mapping[str, Any]) -> update.QueueUpdate:
        """Change the options of a queue, which are then no longer implicit. Pools use them within 5 seconds.

        Args:
            options: all options as QueueOptions, or a mapping of the options to change, such as {"max_retries": 5}: the
                others stay, also if another program changes them at the same time. The number of shards cannot be
                changed. `config_dead_letter_queue` creates the dead-letter queue if it is True; if it is False, the
                dead-letter queue stays with its messages, and no more are added.

        Returns:
            What has changed: an empty `changed` if all options had these values already.

        Raises:
            ConfigurationError: the name or an option is invalid, or the number of shards differs; nothing is changed.
            DecodeError: a newer release has created this queue.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(update.update_queue, keys_of(queue_name), update.checked_changes(options))

    def delete_queue(self, queue_name: str, *, with_messages: bool = False) -> int:
        """Delete a queue with all shards, its dead-letter queue, and its totals.

        Publishing to it raises QueueNotFoundError from then on. A pool that serves the queue would create it again, so
        stop its pools first.

        Args:
            with_messages: delete it also if it or its dead-letter queue has messages, whether or not workers hold them,
                or registered workers.

        Returns:
            How many messages were deleted with it.

        Raises:
            QueueInUseError: it has messages or registered workers; nothing was changed.
            ConfigurationError: the name is invalid, or is that of a shard or of the dead-letter queue of another queue.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        with_messages = checks.flag("with_messages", with_messages)
        return self._perform(lambda k: delete_queue.delete_queue(k, with_messages=with_messages), keys_of(queue_name))

    def show_queue(self, queue_name: str) -> show.QueueInfo:
        """The stored options of a queue, its shards and its dead-letter queue, as `bizzmq queue show` shows them.

        Raises:
            DecodeError: the stored options are unreadable.
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(show.read_info, keys_of(queue_name))

    def queues(self) -> list[stats.QueueSummary]:
        """All queues and dead-letter queues with their counts, sorted by name, as `bizzmq queues` shows them.

        A queue that cannot be used has an `error` in place of `stats`.

        Raises:
            BrokerUnavailableError, ClosedError
        """
        return self._perform(stats.read_overview)

    def stats(self, queue_name: str) -> QueueStats:
        """Count the messages of a queue, by state and in total.

        Raises:
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(stats.read_stats, keys_of(queue_name))

    def status(self, queue_name: str, message_id: str) -> message_status.MessageStatus:
        """Where a message is, or what has become of it if its result is kept.

        Raises:
            DecodeError, WrongTypeError: what is stored of it is not BizzMQ's.
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(message_status.read_status, keys_of(queue_name), checked_id(message_id))

    def find(self, message_id: str, queue_name: str | None = None) -> StoredMessage | None:
        """Find a stored message by its id: where it is, what it is, and how often it was tried.

        Args:
            queue_name: the queue to search, with its dead-letter queue. None searches all queues, which costs two
                requests for each queue and one for each further shard.

        Returns:
            None if no queue stores it, for example because it is finished.

        Raises:
            ConfigurationError: the id or the name is invalid.
            WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(find.find_message, k, checked_id(message_id))

    def messages(
        self, queue_name: str, state: str = WAITING, *, limit: int = 100, after: str | None = None
    ) -> listing.MessagePage:
        """List the messages of a queue in a state, in pages.

        Waiting messages are in the order in which workers claim them, delayed ones by their due time, processing ones
        by worker; those of a queue with shards, shard by shard. Messages may move between two pages: a message that
        stays in its place is listed once. If more than 10,000 messages leave a list between two pages, some may be left
        out; if the next 10 messages are deleted there, some may be listed again.

        Args:
            state: `waiting`, `delayed`, `processing` or `dead_lettered`; for a dead-letter queue `dead_lettered` or
                `processing`.
            limit: the most messages of a page, up to 1,000.
            after: `next` of the page before; None begins.

        Raises:
            ConfigurationError: an argument is invalid, or `after` comes from another listing.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k, limit = keys_of(queue_name), listing.checked_limit(limit)
        return self._perform(listing.read_page, k, listing.checked_state(k, state), limit, after)

    def delete(self, queue_name: str, message_id: str) -> bool:
        """Delete a waiting, delayed or dead-lettered message of a queue.

        Returns:
            False if the queue does not store it, for example because it is finished.

        Raises:
            MessageInUseError: a worker holds it; nothing was changed.
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(delete.delete_message, keys_of(queue_name), checked_id(message_id))

    def purge(self, queue_name: str) -> int:
        """Delete all messages of a queue that no worker holds. Dead letters are the messages of `NAME_dlq`.

        It ends even if other programs publish meanwhile: their messages stay.

        Returns:
            How many were deleted.

        Raises:
            BrokerUnavailableError: some may have been deleted; the call can be repeated.
            ConfigurationError, QueueNotFoundError, ClosedError
        """
        deleted = 0
        for begun in self._perform(purge.begin_purge, keys_of(queue_name)):
            rest: purge.Purge | None = begun
            while rest is not None:
                count, rest = self._perform(purge.purge_step, rest)
                deleted += count
        return deleted

    def _perform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """The result of an operation that is safe to repeat. It begins anew with each try."""
        return opened(self._execute(lambda broker: broker.perform(operation(*arguments))), self._sealer)


def keys_of(queue_name: Any) -> QueueKeys:
    """The keys of a queue. Raises ConfigurationError."""
    return QueueKeys(checked_name(queue_name))


def checked_id(message_id: Any) -> bytes:
    """A message's id as it is stored. Raises ConfigurationError."""
    text = checks.text("message_id", message_id, "a text, the id of a message")
    try:
        return as_bytes(text)
    except UnicodeEncodeError:
        checks.refuse("message_id", "the id of a message", text)


def checked_name(name: Any) -> str:
    """A queue's name as a str; QueueKeys checks its characters."""
    return checks.text("queue_name", name, "a text, the name of a queue, and goes before the message or the handler")
