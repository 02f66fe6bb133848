"""The methods of an async client that cancel messages, and that pause and resume."""

from __future__ import annotations

from datetime import timedelta

from bizzmq.admin.activity.pauses import Pause, read_pauses
from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.aio.pool_client import AsyncPoolClient
from bizzmq.control import cancel as cancelling
from bizzmq.control import pause as pausing
from bizzmq.control.retry import retry_message


class AsyncControlClient(AsyncPoolClient):
    """What the commands `bizzmq cancel`, `retry`, `pause` and `resume` do, as methods with the same names."""

    async def cancel(
        self,
        message_id: str = "",
        queue_name: str | None = None,
        *,
        unique_key: str = "",
        by: str = "",
        reason: str = "",
    ) -> bool:
        """As BizzMQ.cancel."""
        target = cancelling.checked_target(message_id, queue_name, unique_key)
        return any(await self._perform(cancelling.cancel_target, target, cancelling.checked_record(by, reason)))

    async def cancel_all(
        self, queue_name: str, *, task: str = "", key: str = "", by: str = "", reason: str = ""
    ) -> int:
        """As BizzMQ.cancel_all. If it is cancelled, some messages may have been."""
        selection, record = cancelling.checked_selection(task, key), cancelling.checked_record(by, reason)
        step: cancelling.CancelStep | None
        step = await self._perform(cancelling.begin_cancel, keys_of(queue_name), selection, record)
        cancelled = 0
        while step is not None:
            done, step = await self._perform(cancelling.cancel_step, step)
            cancelled += sum(done)
        return cancelled

    async def retry(self, message_id: str, queue_name: str | None = None) -> bool:
        """As BizzMQ.retry."""
        k = None if queue_name is None else keys_of(queue_name)
        return await self._perform(retry_message, k, checked_id(message_id))

    async def pause(
        self,
        queue_name: str,
        *,
        task: str = "",
        key: str = "",
        by: str = "",
        reason: str = "",
        for_s: float | timedelta | None = None,
    ) -> None:
        """As BizzMQ.pause."""
        paused, about = pausing.checked_name(keys_of(queue_name), task, key), pausing.checked_about(by, reason)
        await self._perform(pausing.pause, paused, about, pausing.checked_duration_ms(for_s))

    async def resume(self, queue_name: str, *, task: str = "", key: str = "") -> bool:
        """As BizzMQ.resume. If it is cancelled, a pool completes what was begun."""
        return await self._perform(pausing.resume, pausing.checked_name(keys_of(queue_name), task, key))

    async def pauses(self, queue_name: str) -> list[Pause]:
        """As BizzMQ.pauses."""
        return await self._perform(read_pauses, keys_of(queue_name))
