"""taskiq on a Redis stream: the task, its broker and the publisher."""

from __future__ import annotations

import asyncio
import os

import publishing
import tally
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(url=os.environ["BENCH_URL"], queue_name="bench", consumer_id="0-0")


@broker.task(task_name="handler")
async def handler(n: int, us: int) -> None:
    tally.handle(n, us)


async def publish() -> None:
    await broker.startup()
    await publishing.serve_async(
        lambda numbers, us: publishing.in_chunks(lambda n: handler.kiq(n, us), numbers),
        handler.kiq,
    )
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(publish())
