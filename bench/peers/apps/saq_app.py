"""SAQ: the function, its queue and the publisher."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import publishing
import tally
from saq import Queue

queue = Queue.from_url(os.environ["BENCH_URL"], name="bench")


async def handler(_context: Any, *, n: int, us: int) -> None:
    tally.handle(n, us)


settings = {
    "queue": queue,
    "functions": [("handler", handler)],
    "concurrency": 10,
}


def single(n: int, us: int) -> Any:
    return queue.enqueue("handler", n=n, us=us, ttl=-1, retries=2)


async def publish() -> None:
    await queue.connect()
    await publishing.serve_async(lambda numbers, us: publishing.in_chunks(lambda n: single(n, us), numbers), single)
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(publish())
