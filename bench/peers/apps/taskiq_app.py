"""taskiq on a Redis stream: the task, its broker and the publisher."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import publishing
import tally
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(url=os.environ["BENCH_URL"], queue_name="bench", consumer_id="0-0")


if tally.keeps_results:
    broker = broker.with_result_backend(
        RedisAsyncResultBackend(os.environ["BENCH_URL"], result_ex_time=tally.RESULT_TTL_S)
    )


@broker.task(task_name="handler")
async def handler(n: int, us: int) -> str | None:
    return tally.handle(n, us)


async def call(n: int, us: int) -> Any:
    task = await handler.kiq(n, us)
    return (await task.wait_result(check_interval=0.001, timeout=10)).return_value


async def publish() -> None:
    await broker.startup()
    await publishing.serve_async(
        lambda numbers, us: publishing.in_chunks(lambda n: handler.kiq(n, us), numbers),
        handler.kiq,
        call,
    )
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(publish())
