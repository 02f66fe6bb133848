"""RQ: `python rq_app.py fork|simple` is one worker, `python rq_app.py` the publisher."""

from __future__ import annotations

import os
import sys

import publishing
import tally
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

queue = Queue("bench", connection=Redis.from_url(os.environ["BENCH_URL"]), serializer=JSONSerializer)
HANDLER = "tally.handle"


def bulk(numbers: range, us: int) -> None:
    """In batches of 1,000: each is one pipeline."""
    for start in range(0, len(numbers), 1000):
        some = numbers[start : start + 1000]
        queue.enqueue_many([Queue.prepare_data(HANDLER, (n, us), result_ttl=0) for n in some])


def single(n: int, us: int) -> None:
    queue.enqueue(HANDLER, n, us, result_ttl=0)


def work(kind: str) -> None:
    """One worker process; what it forks for a message has its slot."""
    tally.pin()
    of = {"fork": Worker, "simple": SimpleWorker}[kind]
    worker = of([queue], connection=queue.connection, serializer=JSONSerializer)
    worker.work(logging_level="WARNING")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1])
    else:
        publishing.serve(bulk, single)
