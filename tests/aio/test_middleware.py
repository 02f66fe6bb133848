"""Middleware around what AsyncBizzMQ publishes and what its consumers run."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, Sequence

import pytest

from bizzmq import AsyncBizzMQ, ConfigurationError, Context, QueueNotFoundError
from bizzmq.middleware.base import Middleware, Publication
from tests.aio.conftest import Run

current: ContextVar[str] = ContextVar("current", default="none")


class Recorder(Middleware):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def before_publish(self, publication: Publication) -> None:
        publication.headers["trace"] = "abc"
        self.events.append(("before", publication.queue, len(publication.bodies)))

    def after_publish(self, publication: Publication, message_ids: Sequence[str], error: BaseException | None) -> None:
        self.events.append(("after", publication.queue, len(message_ids), type(error).__name__))

    def before_handler(self, context: Context) -> None:
        current.set(context.id)


def test_hooks_run_around_publishing_and_handlers(run: Run, url: str) -> None:
    recorder, seen = Recorder(), []

    async def handler(_body: Any, context: Context) -> None:
        await asyncio.sleep(0)
        seen.append((current.get() == context.id, context.headers["trace"]))

    async def main() -> None:
        async with AsyncBizzMQ(url, middleware=[recorder]) as amq:
            await amq.create_queue("q")
            await amq.publish_message_to_queue("q", 1)
            await amq.publish_messages_to_queue("q", [2, 3])
            with pytest.raises(QueueNotFoundError):
                await amq.publish_message_to_queue("nowhere", 1)
            publishing = asyncio.ensure_future(amq.publish_message_to_queue("q", 4))
            await asyncio.sleep(0)
            publishing.cancel()
            await asyncio.wait({publishing})
            await amq.consume_until_empty("q", handler)

    run(main())

    assert recorder.events[:6] == [
        ("before", "q", 1), ("after", "q", 1, "NoneType"), ("before", "q", 2), ("after", "q", 2, "NoneType"),
        ("before", "nowhere", 1), ("after", "nowhere", 0, "QueueNotFoundError"),
    ]  # fmt: skip
    assert recorder.events[-1] == ("after", "q", 0, "CancelledError")
    assert set(seen) == {(True, "abc")}


def test_what_is_no_middleware_is_refused_by_the_constructor() -> None:
    with pytest.raises(ConfigurationError):
        AsyncBizzMQ("redis://localhost", middleware=[7])
