"""Huey: the task, its queue and the publisher."""

from __future__ import annotations

import os

import publishing
import tally
from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_URL"], results=False, blocking=True, read_timeout=1)


@huey.task(name="handler")
def handler(n: int, us: int) -> None:
    tally.handle(n, us)


def single(n: int, us: int) -> None:
    handler(n, us)


def bulk(numbers: range, us: int) -> None:
    for n in numbers:
        handler(n, us)


def publish() -> None:
    """Called by name: a task belongs to the module in which it was defined, and that must not be __main__."""
    publishing.serve(bulk, single)
