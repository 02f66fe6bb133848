"""The methods of an async client that cancel messages."""

from __future__ import annotations

from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.aio.queue_client import AsyncQueueClient
from bizzmq.control import cancel


class AsyncControlClient(AsyncQueueClient):
    """What the commands `bizzmq cancel`, `pause` and `resume` do, as methods with the same names."""

    async def cancel(self, message_id: str, queue_name: str | None = None, *, by: str = "", reason: str = "") -> bool:
        """As BizzMQ.cancel."""
        k, record = None if queue_name is None else keys_of(queue_name), cancel.checked_record(by, reason)
        return any(await self._perform(cancel.cancel_message, k, checked_id(message_id), record))

    async def cancel_all(
        self, queue_name: str, *, task: str = "", key: str = "", by: str = "", reason: str = ""
    ) -> int:
        """As BizzMQ.cancel_all. If it is cancelled, some messages may have been."""
        selection, record = cancel.checked_selection(task, key), cancel.checked_record(by, reason)
        step: cancel.CancelStep | None
        step = await self._perform(cancel.begin_cancel, keys_of(queue_name), selection, record)
        cancelled = 0
        while step is not None:
            done, step = await self._perform(cancel.cancel_step, step)
            cancelled += sum(done)
        return cancelled
