"""streaQ: the task, its worker and the publisher."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import publishing
import tally
from streaq import Worker

worker = Worker(redis_url=os.environ["BENCH_URL"], queue_name="bench", concurrency=100)


@worker.task(name="handler", silent=True, ttl=tally.RESULT_TTL_S if tally.keeps_results else 0)
async def handler(n: int, us: int) -> str | None:
    return tally.handle(n, us)


async def single(n: int, us: int) -> None:
    await handler.enqueue(n, us)


async def bulk(numbers: range, us: int) -> None:
    for start in range(0, len(numbers), 1000):
        await worker.enqueue_many([handler.enqueue(n, us) for n in numbers[start : start + 1000]])


async def call(n: int, us: int) -> Any:
    task = await handler.enqueue(n, us)
    return (await task.result(timeout=10)).result


async def publish() -> None:
    async with worker:
        await publishing.serve_async(bulk, single, call)


if __name__ == "__main__":
    asyncio.run(publish())
