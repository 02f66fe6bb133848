"""Dramatiq: the actor, its broker and the publisher."""

from __future__ import annotations

import os

import dramatiq
import publishing
import tally
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["BENCH_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench")
def handler(n: int, us: int) -> None:
    tally.handle(n, us)


def bulk(numbers: range, us: int) -> None:
    for n in numbers:
        broker.enqueue(handler.message(n, us))


if __name__ == "__main__":
    publishing.serve(bulk, handler.send)
