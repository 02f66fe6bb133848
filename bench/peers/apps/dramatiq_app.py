"""Dramatiq: the actor, its broker and the publisher."""

from __future__ import annotations

import os
from typing import Any

import dramatiq
import publishing
import tally
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=os.environ["BENCH_URL"])
results = RedisBackend(url=os.environ["BENCH_URL"])
if tally.keeps_results:
    broker.add_middleware(Results(backend=results, store_results=True, result_ttl=1000 * tally.RESULT_TTL_S))
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench")
def handler(n: int, us: int) -> str | None:
    return tally.handle(n, us)


def bulk(numbers: range, us: int) -> None:
    for n in numbers:
        broker.enqueue(handler.message(n, us))


def call(n: int, us: int) -> Any:
    return handler.send(n, us).get_result(backend=results, block=True, timeout=10_000)


if __name__ == "__main__":
    publishing.serve(bulk, handler.send, call)
