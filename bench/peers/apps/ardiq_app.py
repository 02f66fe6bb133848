"""ArdiQ: the task, its app and the publisher."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import publishing
import tally
from ardiq import Ardiq

TTL_MS = 1000 * (tally.RESULT_TTL_S if tally.keeps_results else 1)
app = Ardiq(redis_url=os.environ["BENCH_URL"], queue_name="bench", concurrency=100, result_ttl_ms=TTL_MS)


@app.task()
async def handler(n: int, us: int) -> str | None:
    return tally.handle(n, us)


async def call(n: int, us: int) -> Any:
    job = await handler.enqueue(n, us)
    result = await job.result(timeout=10)
    return result and result.value


async def publish() -> None:
    await publishing.serve_async(
        lambda numbers, us: app.enqueue_many([handler.prepare(n, us) for n in numbers]), handler.enqueue, call
    )


if __name__ == "__main__":
    asyncio.run(publish())
