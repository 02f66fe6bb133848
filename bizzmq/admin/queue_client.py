"""The methods of a client that create, inspect and change queues."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq.admin import create, delete, delete_queue, purge, show, stats, update
from bizzmq.admin.arguments import checked_id, checked_name, keys_of
from bizzmq.admin.looking_client import LookingClient
from bizzmq.queue import QueueOptions, QueueStats
from bizzmq.validation import checks


class QueueClient(LookingClient):
    """What the command `bizzmq` does with queues and their messages, as methods with the same names."""

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
