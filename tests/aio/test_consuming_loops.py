"""Async handlers and the loop that they run in: its end, progress, checkpoints and loops of their own."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, CheckpointError, Context, QueueOptions
from tests.aio.conftest import Run
from tests.scripts.containers import look
from tests.support.recording_handler import NO_BACKOFF

LEFT = """
import asyncio, sys
from bizzmq import AsyncBizzMQ

mq = AsyncBizzMQ(sys.argv[1])

async def main():
    begun = asyncio.Event()

    async def handler(body):
        begun.set()
        await asyncio.sleep(60)

    await mq.consume_message_from_queue("q", handler)
    await asyncio.wait_for(begun.wait(), 30)
    {}

{}
"""


@pytest.mark.parametrize(
    ("end", "start"),
    [("pass", "asyncio.run(main())"), ("pass", "asyncio.new_event_loop().run_until_complete(main())")],
    ids=["closed", "stopped"],
)
def test_a_loop_that_ends_with_a_running_message_releases_it_without_blame(
    run: Run, url: str, redis: Redis, end: str, start: str
) -> None:
    async def prepare() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            await amq.publish_messages_to_queue("q", [1, 2])

    run(prepare())
    done = subprocess.run(
        [sys.executable, "-c", LEFT.format(end, start), url], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    shown = look(redis, "q")
    assert len(shown.waiting) == 2, done.stderr
    assert [counts.split()[:2] for counts in shown.attempts.values()] in ([], [["0", "0"]])
    assert "Traceback" not in done.stderr


def test_a_lost_loop_is_said_in_the_log(run: Run, url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            assert await amq.consume_until_empty("q", print) == 0

    run(main())
    assert caplog.records == []


def test_an_async_handler_has_progress_checkpoints_and_loops(run: Run, url: str) -> None:
    """Its event loop is in another thread than the connection of the consumer, which waits meanwhile."""
    seen: list[Any] = []
    large = "x" * 10_000  # goes to Redis at once

    async def handler(body: Any, context: Context) -> None:
        seen.append(context.last_checkpoint)
        loop = context.resume(range(4), every=1, state=0)
        for item in loop:
            loop.state += item
            await asyncio.sleep(0)
            context.progress(item, 4)
            if item == 2 and context.delivery == 1:
                raise RuntimeError("again")
        context.checkpoint(large if body == "large" else {"sum": loop.state})
        if context.delivery < 3:
            raise RuntimeError("once more")

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            for body in ("small", "large"):
                await amq.publish_message_to_queue("q", body)
                assert await amq.consume_until_empty("q", handler) == 3
            assert (await amq.stats("q")).acked == 2

    run(main())
    assert seen == [None, None, {"sum": 6}, None, None, large]


def test_what_outlives_an_async_handler_cannot_make_its_first_checkpoint(run: Run, url: str) -> None:
    refused: list[BaseException | None] = []

    async def later(context: Context) -> None:
        await asyncio.sleep(0.05)
        context.checkpoint("late")

    async def main() -> None:
        left: list[asyncio.Task[None]] = []

        async def handler(body: Any, context: Context) -> None:
            if body == "thread":
                await asyncio.get_running_loop().run_in_executor(None, context.checkpoint, "thread")
            else:
                left.append(asyncio.ensure_future(later(context)))

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
            await amq.publish_messages_to_queue("q", ["thread", "task"])
            assert await amq.consume_until_empty("q", handler) == 2
            refused.extend(await asyncio.gather(*left, return_exceptions=True))
            (letter,) = (await amq.dead_letters("q")).messages
            assert letter.error["error_type"] == "CheckpointError"

    run(main())
    assert [type(error) for error in refused] == [CheckpointError]
