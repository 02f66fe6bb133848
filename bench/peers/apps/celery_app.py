"""Celery: the task, its app and the publisher."""

from __future__ import annotations

import os

import publishing
import tally
from celery import Celery

app = Celery("celery_app", broker=os.environ["BENCH_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    task_default_queue="bench",
    broker_connection_retry_on_startup=True,
)


@app.task(name="handler")
def handler(n: int, us: int) -> None:
    tally.handle(n, us)


def bulk(numbers: range, us: int) -> None:
    """One producer and its connection for all."""
    with app.producer_pool.acquire(block=True) as producer:
        for n in numbers:
            handler.apply_async((n, us), producer=producer)


if __name__ == "__main__":
    publishing.serve(bulk, handler.delay)
