"""Celery: the task, its app and the publisher."""

from __future__ import annotations

import os
from typing import Any

import publishing
import tally
from celery import Celery

URL = os.environ["BENCH_URL"]
app = Celery("celery_app", broker=URL, backend=URL if tally.keeps_results else None)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=not tally.keeps_results,
    result_expires=tally.RESULT_TTL_S,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    task_default_queue="bench",
    broker_connection_retry_on_startup=True,
)


@app.task(name="handler")
def handler(n: int, us: int) -> str | None:
    return tally.handle(n, us)


def bulk(numbers: range, us: int) -> None:
    """Publish all with one producer and one connection."""
    with app.producer_pool.acquire(block=True) as producer:
        for n in numbers:
            handler.apply_async((n, us), producer=producer)


def call(n: int, us: int) -> Any:
    return handler.delay(n, us).get(timeout=10)


if __name__ == "__main__":
    publishing.serve(bulk, handler.delay, call)
