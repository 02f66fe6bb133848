"""Consumers of AsyncBizzMQ: where handlers run, and how consumers end."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQError, ClosedError, ConfigurationError, Context, QueueNotFoundError, QueueOptions
from bizzmq.testing.layout import Keys
from tests.aio.conftest import Run
from tests.scripts.containers import look
from tests.support.recording_handler import NO_BACKOFF

PATIENCE_S = 30.0


async def until(condition: Any) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), PATIENCE_S)


def test_an_async_handler_runs_in_the_callers_loop(run: Run, url: str) -> None:
    async def main() -> None:
        home, seen = asyncio.get_running_loop(), []
        lock = asyncio.Lock()

        async def handler(body: Any, context: Context) -> None:
            async with lock:
                assert asyncio.get_running_loop() is home
                assert threading.current_thread() is threading.main_thread()
                seen.append((body, context.delivery))

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            await amq.publish_messages_to_queue("q", range(50))
            assert await amq.consume_until_empty("q", handler) == 50
            assert seen == [(number, 1) for number in range(50)]
            assert (await amq.stats("q")).acked == 50

    run(main())


def test_a_blocking_handler_runs_in_a_thread_and_does_not_hold_up_the_loop(run: Run, url: str) -> None:
    async def main() -> None:
        release = threading.Event()
        threads: list[threading.Thread] = []

        def handler(_body: Any) -> None:
            threads.append(threading.current_thread())
            assert release.wait(PATIENCE_S)

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            await amq.publish_message_to_queue("q", 1)
            stop = await amq.consume_message_from_queue("q", handler)
            await until(lambda: threads)
            assert threads[0] is not threading.main_thread()
            assert (await amq.stats("q")).processing == 1
            release.set()
            await stop()
            await stop()
            assert (await amq.stats("q")).acked == 1

    run(main())


def test_whatever_returns_something_to_await_is_awaited_in_the_loop(run: Run, url: str) -> None:
    async def main() -> None:
        home, seen = asyncio.get_running_loop(), []

        class Callable:
            async def __call__(self, body: Any) -> None:
                seen.append((body, asyncio.get_running_loop() is home))

        async def with_argument(first: str, body: Any) -> None:
            assert first == "first"
            seen.append((body, asyncio.get_running_loop() is home))

        def plain(body: Any) -> Any:
            return with_argument("first", body)

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            for number, handler in enumerate((Callable(), functools.partial(with_argument, "first"), plain)):
                await amq.publish_message_to_queue("q", number)
                await amq.consume_until_empty("q", handler)
        assert seen == [(0, True), (1, True), (2, True)]

    run(main())


def test_an_error_is_retried_and_dead_lettered_with_the_users_traceback(run: Run, url: str) -> None:
    async def main() -> Any:
        async def failing_handler(_body: Any) -> None:
            await asyncio.sleep(0)
            raise LookupError("not there")

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            await amq.publish_message_to_queue("q", 1)
            assert await amq.consume_until_empty("q", failing_handler) == 3
            errors = []

            async def read(_body: Any, context: Context) -> None:
                errors.append(context.error)

            await amq.consume_until_empty("q_dlq", read)
            return errors[0]

    error = run(main())
    assert (error["error_type"], error["error"]) == ("LookupError", "not there")
    frames = [line for line in error["traceback"].splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert "failing_handler" in frames[0]


@pytest.mark.parametrize("error", [SystemExit(3), TimeoutError("late"), asyncio.CancelledError(), GeneratorExit()])
def test_no_error_of_a_handler_ends_the_loop_or_the_consumer(run: Run, url: str, error: BaseException) -> None:
    async def main() -> None:
        async def handler(body: Any) -> None:
            if body == "bad":
                raise error

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", QueueOptions(max_retries=0, config_dead_letter_queue=True))
            await amq.publish_messages_to_queue("q", ["bad", "good"])
            assert await amq.consume_until_empty("q", handler) == 2
            stats = await amq.stats("q")
            assert (stats.acked, stats.dead_lettered) == (1, 1)

    run(main())


def test_stop_waits_for_the_running_message_and_releases_the_others(run: Run, url: str, redis: Redis) -> None:
    async def main() -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()
        done = []

        async def handler(body: Any) -> None:
            begun.set()
            await may_end.wait()
            done.append(body)

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            await amq.publish_messages_to_queue("q", range(5))
            stop = await amq.consume_message_from_queue("q", handler)
            await begun.wait()
            stopping = asyncio.ensure_future(stop())
            await asyncio.wait({stopping}, timeout=0.05)
            assert not stopping.done()
            may_end.set()
            await stopping
            stats = await amq.stats("q")
            assert (stats.acked, stats.waiting, stats.processing, stats.retried) == (len(done), 5 - len(done), 0, 0)
            assert done == list(range(len(done)))

    run(main())
    assert look(redis, "q").supervisors == {}


def test_a_handler_may_stop_its_own_consumer_and_close_the_client(run: Run, url: str) -> None:
    async def main() -> None:
        ended = asyncio.Event()
        amq = AsyncBizzMQ(url)
        stops: list[Any] = []

        async def handler(_body: Any) -> None:
            await stops[0]()
            await amq.close()
            ended.set()

        await amq.create_queue("q", NO_BACKOFF)
        stops.append(await amq.consume_message_from_queue("q", handler))
        await amq.publish_message_to_queue("q", 1)
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
        await stops[0]()
        async with AsyncBizzMQ(url) as again:
            assert (await again.stats("q")).acked == 1

    run(main())


def test_close_stops_the_consumers_first(run: Run, url: str) -> None:
    async def main() -> None:
        amq = AsyncBizzMQ(url)
        begun, published = asyncio.Event(), []

        async def handler(_body: Any) -> None:
            begun.set()
            await asyncio.sleep(0.05)
            published.append(await amq.publish_message_to_queue("next", 1))

        for queue in ("q", "next"):
            await amq.create_queue(queue, NO_BACKOFF)
        await amq.publish_message_to_queue("q", 1)
        await amq.consume_message_from_queue("q", handler)
        await begun.wait()
        await amq.close()
        assert len(published) == 1
        with pytest.raises(ClosedError):
            await amq.consume_message_from_queue("q", handler)

    run(main())


def test_a_cancelled_start_leaves_no_consumer(run: Run, url: str, redis: Redis) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            for steps in range(25):
                starting = asyncio.ensure_future(amq.consume_message_from_queue("q", print))
                for _ in range(steps):
                    await asyncio.sleep(0.0003)
                starting.cancel()
                await asyncio.wait({starting})
                if not starting.cancelled():
                    await starting.result()()

    before = set(threading.enumerate())
    run(main())
    assert look(redis, "q").supervisors == {}
    assert set(threading.enumerate()) <= before


def test_a_cancelled_stop_stops_nevertheless(run: Run, url: str, redis: Redis) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            stop = await amq.consume_message_from_queue("q", print)
            stopping = asyncio.ensure_future(stop())
            await asyncio.sleep(0)
            stopping.cancel()
            await asyncio.wait({stopping})
            await until(lambda: redis.hlen(Keys("q").workers) == 0)

    run(main())


def test_consume_until_empty_has_a_time_limit(run: Run, url: str) -> None:
    async def main() -> None:
        async def handler(_body: Any) -> None:
            await asyncio.sleep(0.02)

        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", NO_BACKOFF)
            await amq.publish_messages_to_queue("q", range(2000))
            with pytest.raises(TimeoutError, match="not empty within"):
                await amq.consume_until_empty("q", handler, timeout_s=0.1)
            stats = await amq.stats("q")
            assert (stats.processing, stats.retried) == (0, 0)
            assert stats.acked + stats.waiting == 2000
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(amq.consume_until_empty("q", handler), 0.1)

    run(main())


@pytest.mark.parametrize(
    ("handler", "queue", "kind"),
    [(7, "q", ConfigurationError), (lambda: None, "q", ConfigurationError), (print, "nowhere", QueueNotFoundError),
     (print, 7, ConfigurationError)],
)  # fmt: skip
def test_what_cannot_be_consumed_is_refused(run: Run, url: str, handler: Any, queue: Any, kind: Any) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q")
            with pytest.raises(kind):
                await amq.consume_message_from_queue(queue, handler)
            with pytest.raises(BizzMQError):
                await amq.consume_until_empty(queue, handler)

    run(main())
