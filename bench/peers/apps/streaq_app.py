"""streaQ: the task, its worker and the publisher."""

from __future__ import annotations

import asyncio
import os

import publishing
import tally
from streaq import Worker

worker = Worker(redis_url=os.environ["BENCH_URL"], queue_name="bench", concurrency=100)


@worker.task(name="handler", silent=True, ttl=0)
async def handler(n: int, us: int) -> None:
    tally.handle(n, us)


async def single(n: int, us: int) -> None:
    await handler.enqueue(n, us)


async def bulk(numbers: range, us: int) -> None:
    for start in range(0, len(numbers), 1000):
        await worker.enqueue_many([handler.enqueue(n, us) for n in numbers[start : start + 1000]])


async def publish() -> None:
    async with worker:
        await publishing.serve_async(bulk, single)


if __name__ == "__main__":
    asyncio.run(publish())
