"""The methods of an async client that look at messages, queues and pools, and change nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Awaitable, Callable, Sequence, TypeVar

from bizzmq.admin import find, listing, message_status
from bizzmq.admin.activity.pools import PoolInfo
from bizzmq.admin.activity.queue_activity import QueueActivity, read_existing_activity
from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.admin.explain.details import MessageDetails, read_details
from bizzmq.admin.explain.explanation import Explanation, read_explanation
from bizzmq.admin.explain.history import read_history
from bizzmq.admin.explain.kept_profile import read_profile_of
from bizzmq.admin.explain.output import read_output
from bizzmq.admin.message_filter import checked_filter
from bizzmq.admin.opening import opened
from bizzmq.admin.stats import read_all_pools
from bizzmq.admin.stored_message import WAITING, StoredMessage
from bizzmq.aio.broker import AsyncBroker
from bizzmq.broker.operations import Operation
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.metrics.series import QueueMetrics
from bizzmq.protocol.history import MessageHistory
from bizzmq.protocol.profile import KeptProfile
from bizzmq.protocol.sealing import Sealer
from bizzmq.validation import checks

T = TypeVar("T")


class AsyncLookingClient:
    """What the command `bizzmq` shows, as methods with the same names."""

    _sealer: Sealer | None = None

    async def _execute(self, action: Callable[[AsyncBroker], Awaitable[T]]) -> T:
        """Run an action that is safe to repeat, over a connection of the client."""
        raise NotImplementedError  # the client has the connections

    async def explain(self, message_id: str, queue_name: str | None = None) -> Explanation:
        """As BizzMQ.explain."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(read_explanation, k, checked_id(message_id))

    async def show_message(self, message_id: str, queue_name: str | None = None) -> MessageDetails:
        """As BizzMQ.show_message."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(read_details, k, checked_id(message_id))

    async def history(self, message_id: str, queue_name: str | None = None) -> MessageHistory:
        """As BizzMQ.history."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(read_history, k, checked_id(message_id))

    async def output(self, message_id: str, queue_name: str | None = None) -> str:
        """As BizzMQ.output."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(read_output, k, checked_id(message_id))

    async def kept_profile(self, message_id: str, queue_name: str | None = None) -> KeptProfile | None:
        """As BizzMQ.kept_profile."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(read_profile_of, k, checked_id(message_id))

    async def activity(self, queue_name: str) -> QueueActivity:
        """As BizzMQ.activity."""
        return await self._perform(read_existing_activity, keys_of(queue_name))

    async def metrics(
        self, queue_name: str, *, last_s: float | timedelta = 3600.0, step_s: float | timedelta | None = None
    ) -> QueueMetrics:
        """As BizzMQ.metrics."""
        return await self._perform(read_metrics, keys_of(queue_name), checked_window(last_s, step_s))

    async def pools(self, queue_name: str | None = None) -> list[PoolInfo]:
        """As BizzMQ.pools."""
        return await self._perform(read_all_pools, None if queue_name is None else keys_of(queue_name))

    async def status(self, queue_name: str, message_id: str) -> message_status.MessageStatus:
        """As BizzMQ.status."""
        return await self._perform(message_status.read_status, keys_of(queue_name), checked_id(message_id))

    async def find(self, message_id: str, queue_name: str | None = None) -> StoredMessage | None:
        """As BizzMQ.find."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(find.find_message, k, checked_id(message_id))

    async def messages(
        self,
        queue_name: str,
        state: str = WAITING,
        *,
        limit: int = 100,
        after: str | None = None,
        task: str = "",
        key: str = "",
        older_s: float | timedelta = 0.0,
        error: str = "",
        body: str = "",
        newest_first: bool = False,
    ) -> listing.MessagePage:
        """As BizzMQ.messages."""
        k, limit = keys_of(queue_name), listing.checked_limit(limit)
        state, shown = listing.checked_state(k, state), checked_filter(task, key, older_s, error, body)
        newest_first = checks.flag("newest_first", newest_first)
        return await self._perform(
            lambda: listing.read_page(k, state, limit, after, shown=shown, newest_first=newest_first)
        )

    async def _perform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """The result of an operation that is safe to repeat. It begins anew with each try."""
        return opened(await self._execute(lambda broker: broker.perform(operation(*arguments))), self._sealer)

    async def _perform_all(self, operations: Callable[[], Sequence[Operation[T]]]) -> list[T]:
        """The results of operations that only read, whose requests are sent together. They begin anew with each try."""
        return await self._execute(lambda broker: broker.perform_all(operations()))
