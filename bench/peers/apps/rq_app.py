"""RQ: `python rq_app.py fork|simple` is one worker, `python rq_app.py` the publisher."""

from __future__ import annotations

import os
import sys
from typing import Any

import publishing
import tally
from redis import Redis
from rq import Queue, SimpleWorker, Worker, get_current_job
from rq.serializers import JSONSerializer

queue = Queue("bench", connection=Redis.from_url(os.environ["BENCH_URL"]), serializer=JSONSerializer)
IS_UNIQUE, HAS_PROGRESS = tally.feature == "unique", tally.feature == "progress"
HANDLER = "rq_app.with_progress" if HAS_PROGRESS else "tally.handle"
TTL_S = tally.RESULT_TTL_S if tally.keeps_results else 0


def with_progress(n: int, us: int) -> str | None:
    job = get_current_job()
    job.meta["progress"] = 50
    job.save_meta()
    return tally.handle(n, us)


def bulk(numbers: range, us: int) -> None:
    """Publish in batches of 1,000, each as one pipeline. It has no bulk call that checks for uniqueness."""
    if IS_UNIQUE:
        for n in numbers:
            single(n, us)
        return
    for start in range(0, len(numbers), 1000):
        some = numbers[start : start + 1000]
        queue.enqueue_many([Queue.prepare_data(HANDLER, (n, us), result_ttl=TTL_S) for n in some])


def single(n: int, us: int) -> None:
    key = {"job_id": f"key-{n}", "unique": True} if IS_UNIQUE else {}
    queue.enqueue(HANDLER, n, us, result_ttl=TTL_S, **key)


def call(n: int, us: int) -> Any:
    result = queue.enqueue(HANDLER, n, us, result_ttl=TTL_S).latest_result(timeout=10)
    return result and result.return_value


def work(kind: str) -> None:
    """Run one worker process; the children that it forks share its slot."""
    tally.pin()
    of = {"fork": Worker, "simple": SimpleWorker}[kind]
    worker = of([queue], connection=queue.connection, serializer=JSONSerializer)
    worker.work(logging_level="WARNING")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1])
    else:
        publishing.serve(bulk, single, call)
