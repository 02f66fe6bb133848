"""BullMQ for Python: `python bullmq_app.py work` is one worker process, `python bullmq_app.py` the publisher."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import publishing
import tally
from bullmq import Queue, Worker

URL = os.environ["BENCH_URL"]
KEPT = {"removeOnComplete": True, "removeOnFail": True}


async def process(job: Any, _token: Any) -> None:
    tally.handle(job.data["n"], job.data["us"])


async def work() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = Worker("bench", process, {"connection": URL, "concurrency": 50})
    await stop.wait()
    await worker.close()


async def publish() -> None:
    queue = Queue("bench", {"connection": URL})

    async def bulk(numbers: range, us: int) -> None:
        for start in range(0, len(numbers), 1000):
            some = numbers[start : start + 1000]
            await queue.addBulk([{"name": "handler", "data": {"n": n, "us": us}, "opts": KEPT} for n in some])

    await publishing.serve_async(bulk, lambda n, us: queue.add("handler", {"n": n, "us": us}, KEPT))
    await queue.close()


if __name__ == "__main__":
    asyncio.run(work() if len(sys.argv) > 1 else publish())
