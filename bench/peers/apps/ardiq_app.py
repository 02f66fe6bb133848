"""ArdiQ: the task, its app and the publisher."""

from __future__ import annotations

import asyncio
import os

import publishing
import tally
from ardiq import Ardiq

app = Ardiq(redis_url=os.environ["BENCH_URL"], queue_name="bench", concurrency=100, result_ttl_ms=1000)


@app.task()
async def handler(n: int, us: int) -> None:
    tally.handle(n, us)


async def publish() -> None:
    await publishing.serve_async(
        lambda numbers, us: app.enqueue_many([handler.prepare(n, us) for n in numbers]), handler.enqueue
    )


if __name__ == "__main__":
    asyncio.run(publish())
