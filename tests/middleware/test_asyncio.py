"""Middleware of the client for asyncio."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from bizzmq import BizzMQ
from bizzmq.aio.client import AsyncBizzMQ
from tests.middleware.recorders import Events, Recorder, steps

tenant: ContextVar[str] = ContextVar("tenant", default="none")


def test_publishing_and_handling_call_the_same_hooks(url: str, queue: str) -> None:
    events: Events = []

    async def handle(body: Any) -> int:
        await asyncio.sleep(0)
        return len(body)

    async def main() -> list[str]:
        async with AsyncBizzMQ(url, middleware=[Recorder("m1", events), Recorder("m2", events)]) as mq:
            ids = await mq.publish_messages_to_queue(queue, ["a", "ab"])
            await mq.consume_until_empty(queue, handle, timeout_s=30)
        return ids

    ids = asyncio.run(main())

    assert steps(events) == [
        ("m1", "before_publish"), ("m2", "before_publish"), ("m2", "after_publish"), ("m1", "after_publish"),
        *[("m1", "before_handler"), ("m2", "before_handler"), ("m2", "after_handler"), ("m1", "after_handler")] * 2,
    ]  # fmt: skip
    assert events[2][2:] == (tuple(ids), None)
    assert [event[2] for event in events if event[:2] == ("m1", "after_handler")] == [1, 2]


def test_an_async_handler_in_the_loop_sees_the_variables_of_before_handler(url: str, queue: str) -> None:
    seen: list[Any] = []

    class Sets:
        def before_handler(self, context: Any) -> None:
            tenant.set(context.body)

    async def handle(body: Any) -> None:
        seen.append((body, tenant.get()))

    async def main() -> None:
        async with AsyncBizzMQ(url, middleware=[Sets()]) as mq:
            await mq.publish_messages_to_queue(queue, ["a", "b"])
            await mq.consume_until_empty(queue, handle, timeout_s=30)

    asyncio.run(main())

    assert seen == [("a", "a"), ("b", "b")]
    assert tenant.get() == "none"


def test_a_cancelled_publish_is_told_to_the_hooks(url: str, queue: str, mq: BizzMQ) -> None:
    events: Events = []

    async def main() -> None:
        async with AsyncBizzMQ(url, middleware=[Recorder("m", events)]) as client:
            publishing = asyncio.ensure_future(client.publish_message_to_queue(queue, 1))
            await asyncio.sleep(0)
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing

    asyncio.run(main())

    assert steps(events) == [("m", "before_publish"), ("m", "after_publish")]
    assert isinstance(events[1][3], asyncio.CancelledError)
