"""The methods of an async client that add, show and change schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Awaitable, Callable, Sequence, TypeVar

from bizzmq.broker.operations import Operation, read_time_ms
from bizzmq.message import MessageOptions
from bizzmq.protocol.keys import QueueKeys
from bizzmq.schedules import operations
from bizzmq.schedules.client import (
    MAX_TIMES,
    Encoding,
    as_datetimes,
    checked_name,
    checked_pause,
    checked_queue,
    keys_or_none,
    runnable,
)
from bizzmq.schedules.cron import UTC
from bizzmq.schedules.info import ScheduleInfo
from bizzmq.schedules.operations import Stored
from bizzmq.schedules.schedule import ALLOW, LAST, Schedule, checked_options, new_schedule
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

T = TypeVar("T")


class AsyncScheduleClient:
    """What the command `bizzmq schedule` does, as methods."""

    def _perform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> Awaitable[T]:
        raise NotImplementedError  # AsyncQueueClient has it

    def _encoding(self) -> Encoding:
        raise NotImplementedError  # the client has the keys

    async def _publish_encoded(self, schedule: Schedule) -> str:
        raise NotImplementedError  # the client has the publishers

    async def schedule(
        self,
        name: str,
        queue_name: str,
        message: Any,
        options: MessageOptions | None = None,
        *,
        cron: str | None = None,
        every_s: Seconds | None = None,
        timezone: str = UTC,
        missed: str = LAST,
        overlap: str = ALLOW,
        jitter_s: Seconds = 0.0,
    ) -> ScheduleInfo:
        """As BizzMQ.schedule."""
        chosen = checked_options(cron, every_s, timezone, missed, overlap, jitter_s)
        wanted, encoding = checks.instance("options", options, MessageOptions, MessageOptions()), self._encoding()
        schedule = new_schedule(name, checked_queue(queue_name), chosen, encoding.body(message), wanted)
        return await self._perform(lambda: operations.put(schedule, encoding.sealer))

    async def schedules(self, queue_name: str | None = None) -> list[ScheduleInfo]:
        """As BizzMQ.schedules."""
        return await self._perform(operations.read_schedules, keys_or_none(queue_name))

    async def show_schedule(self, name: str, queue_name: str | None = None) -> ScheduleInfo:
        """As BizzMQ.show_schedule."""
        return (await self._find(name, queue_name)).info()

    async def schedule_times(self, name: str, count: int = 10, queue_name: str | None = None) -> list[datetime]:
        """As BizzMQ.schedule_times."""
        count = checks.integer("count", count, 1, MAX_TIMES)
        stored = await self._find(name, queue_name)
        return as_datetimes(operations.next_times(stored, count, await self._perform(read_time_ms)))

    async def pause_schedule(
        self,
        name: str,
        queue_name: str | None = None,
        *,
        by: str | None = None,
        why: str = "",
        until: datetime | None = None,
    ) -> ScheduleInfo:
        """As BizzMQ.pause_schedule."""
        pause = checked_pause(by, why, until)
        return await self._perform(operations.pause, keys_or_none(queue_name), checked_name(name), *pause)

    async def resume_schedule(self, name: str, queue_name: str | None = None) -> ScheduleInfo:
        """As BizzMQ.resume_schedule."""
        return await self._perform(operations.resume, keys_or_none(queue_name), checked_name(name))

    async def run_schedule(self, name: str, queue_name: str | None = None) -> str:
        """As BizzMQ.run_schedule."""
        return await self._publish_encoded(runnable(await self._find(name, queue_name), self._encoding().sealer))

    async def remove_schedule(self, name: str, queue_name: str | None = None) -> bool:
        """As BizzMQ.remove_schedule."""
        return await self._perform(operations.remove, keys_or_none(queue_name), checked_name(name))

    async def prune_schedules(self, queue_name: str | None = None) -> list[ScheduleInfo]:
        """As BizzMQ.prune_schedules."""
        return await self._perform(operations.prune, keys_or_none(queue_name))

    async def _find(self, name: str, queue_name: str | None) -> Stored:
        return await self._perform(operations.find_schedule, keys_or_none(queue_name), checked_name(name))


async def declare(amq: AsyncScheduleClient, queue: str, schedules: Sequence[Schedule], app: str) -> list[str]:
    """As `bizzmq.schedules.client.declare`. For code of BizzMQ."""
    sealer = amq._encoding().sealer  # noqa: SLF001 - private to users, not to this module
    return await amq._perform(operations.declare, QueueKeys(queue), schedules, app, sealer)  # noqa: SLF001 - as above
