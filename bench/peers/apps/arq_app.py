"""arq: the function, its worker's settings and the publisher."""

from __future__ import annotations

import asyncio
import os
from typing import Any, ClassVar

import publishing
import tally
from arq import create_pool
from arq.connections import RedisSettings

REDIS = RedisSettings.from_dsn(os.environ["BENCH_URL"])


async def handler(_context: Any, n: int, us: int) -> None:
    tally.handle(n, us)


class WorkerSettings:
    functions: ClassVar[list[Any]] = [handler]
    redis_settings = REDIS
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0


async def publish() -> None:
    pool = await create_pool(REDIS)

    def single(n: int, us: int) -> Any:
        return pool.enqueue_job("handler", n, us)

    await publishing.serve_async(lambda numbers, us: publishing.in_chunks(lambda n: single(n, us), numbers), single)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(publish())
