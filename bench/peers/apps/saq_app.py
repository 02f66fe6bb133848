"""SAQ: the function, its queue and the publisher."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import publishing
import tally
from saq import Queue

queue = Queue.from_url(os.environ["BENCH_URL"], name="bench")
TTL_S = tally.RESULT_TTL_S if tally.keeps_results else -1


async def handler(context: Any, *, n: int, us: int) -> str | None:
    if tally.feature == "progress":
        await context["job"].update(progress=0.5)
    return tally.handle(n, us)


settings = {
    "queue": queue,
    "functions": [("handler", handler)],
    "concurrency": 10,
}


def single(n: int, us: int) -> Any:
    key = {"key": f"key-{n}"} if tally.feature == "unique" else {}
    return queue.enqueue("handler", n=n, us=us, ttl=TTL_S, retries=2, **key)


async def call(n: int, us: int) -> Any:
    job = await single(n, us)
    while not job.completed:  # it waits in vain if the job ends between its question and its subscription
        with contextlib.suppress(asyncio.TimeoutError):
            await job.refresh(until_complete=1)
    return job.result


async def publish() -> None:
    await queue.connect()
    await publishing.serve_async(
        lambda numbers, us: publishing.in_chunks(lambda n: single(n, us), numbers), single, call
    )
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(publish())
