"""The methods of an async client that create, inspect and change queues."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq.admin import delete, delete_queue, purge, show, stats, update
from bizzmq.admin.arguments import checked_id, checked_name, keys_of
from bizzmq.aio.looking_client import AsyncLookingClient
from bizzmq.queue import QueueOptions, QueueStats
from bizzmq.validation import checks


class AsyncQueueClient(AsyncLookingClient):
    """What the command `bizzmq` does with queues and their messages, as methods with the same names."""

    async def create_queue(self, queue_name: str, options: QueueOptions | None = None) -> bool:
        """As BizzMQ.create_queue."""
        queue_name = checked_name(queue_name)
        checks.instance("options", options, QueueOptions, QueueOptions())
        return await self._execute(lambda broker: broker.create_as_asked(queue_name, options))

    async def update_queue(self, queue_name: str, options: QueueOptions | Mapping[str, Any]) -> update.QueueUpdate:
        """As BizzMQ.update_queue."""
        return await self._perform(update.update_queue, keys_of(queue_name), update.checked_changes(options))

    async def delete_queue(self, queue_name: str, *, with_messages: bool = False) -> int:
        """As BizzMQ.delete_queue."""
        with_messages = checks.flag("with_messages", with_messages)
        k = keys_of(queue_name)
        return await self._perform(lambda: delete_queue.delete_queue(k, with_messages=with_messages))

    async def show_queue(self, queue_name: str) -> show.QueueInfo:
        """As BizzMQ.show_queue."""
        return await self._perform(show.read_info, keys_of(queue_name))

    async def queues(self) -> list[stats.QueueSummary]:
        """As BizzMQ.queues."""
        return await self._perform(stats.read_overview)

    async def stats(self, queue_name: str) -> QueueStats:
        """As BizzMQ.stats."""
        return await self._perform(stats.read_stats, keys_of(queue_name))

    async def delete(self, queue_name: str, message_id: str) -> bool:
        """As BizzMQ.delete."""
        return await self._perform(delete.delete_message, keys_of(queue_name), checked_id(message_id))

    async def purge(self, queue_name: str) -> int:
        """As BizzMQ.purge. If it is cancelled, some may have been deleted."""
        deleted = 0
        for begun in await self._perform(purge.begin_purge, keys_of(queue_name)):
            rest: purge.Purge | None = begun
            while rest is not None:
                count, rest = await self._perform(purge.purge_step, rest)
                deleted += count
        return deleted
