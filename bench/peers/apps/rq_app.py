"""RQ: `python rq_app.py fork|simple` is one worker, `python rq_app.py` the publisher."""

from __future__ import annotations

import os
import sys
from typing import Any

import publishing
import tally
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

queue = Queue("bench", connection=Redis.from_url(os.environ["BENCH_URL"]), serializer=JSONSerializer)
HANDLER = "tally.handle"
TTL_S = tally.RESULT_TTL_S if tally.keeps_results else 0


def bulk(numbers: range, us: int) -> None:
    """Publish in batches of 1,000, each as one pipeline."""
    for start in range(0, len(numbers), 1000):
        some = numbers[start : start + 1000]
        queue.enqueue_many([Queue.prepare_data(HANDLER, (n, us), result_ttl=TTL_S) for n in some])


def single(n: int, us: int) -> None:
    queue.enqueue(HANDLER, n, us, result_ttl=TTL_S)


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
