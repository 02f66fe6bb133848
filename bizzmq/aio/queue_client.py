"""The methods of an async client that create, inspect and change queues."""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Mapping, TypeVar

from bizzmq.admin import delete, delete_queue, find, listing, message_status, purge, show, stats, update
from bizzmq.admin.opening import opened
from bizzmq.admin.queue_client import checked_id, checked_name, keys_of
from bizzmq.admin.stored_message import WAITING, StoredMessage
from bizzmq.aio.broker import AsyncBroker
from bizzmq.broker.operations import Operation
from bizzmq.protocol.sealing import Sealer
from bizzmq.queue import QueueOptions, QueueStats
from bizzmq.validation import checks

T = TypeVar("T")


class AsyncQueueClient:
    """What the command `bizzmq` does with queues and their messages, as methods with the same names."""

    _sealer: Sealer | None = None

    async def _execute(self, action: Callable[[AsyncBroker], Awaitable[T]]) -> T:
        """Run an action that is safe to repeat, over a connection of the client."""
        raise NotImplementedError  # the client has the connections

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

    async def status(self, queue_name: str, message_id: str) -> message_status.MessageStatus:
        """As BizzMQ.status."""
        return await self._perform(message_status.read_status, keys_of(queue_name), checked_id(message_id))

    async def find(self, message_id: str, queue_name: str | None = None) -> StoredMessage | None:
        """As BizzMQ.find."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(find.find_message, k, checked_id(message_id))

    async def messages(
        self, queue_name: str, state: str = WAITING, *, limit: int = 100, after: str | None = None
    ) -> listing.MessagePage:
        """As BizzMQ.messages."""
        k, limit = keys_of(queue_name), listing.checked_limit(limit)
        return await self._perform(listing.read_page, k, listing.checked_state(k, state), limit, after)

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

    async def _perform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """The result of an operation that is safe to repeat. It begins anew with each try."""
        return opened(await self._execute(lambda broker: broker.perform(operation(*arguments))), self._sealer)
