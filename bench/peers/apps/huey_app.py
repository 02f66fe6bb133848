"""Huey: the task, its queue and the publisher."""

from __future__ import annotations

import os
from typing import Any

import publishing
import tally
from huey import RedisExpireHuey, RedisHuey

SETTINGS = {"url": os.environ["BENCH_URL"], "blocking": True, "read_timeout": 1}
if tally.keeps_results:
    huey = RedisExpireHuey("bench", expire_time=tally.RESULT_TTL_S, notify_result=True, **SETTINGS)
else:
    huey = RedisHuey("bench", results=False, **SETTINGS)


@huey.task(name="handler")
def handler(n: int, us: int) -> str | None:
    return tally.handle(n, us)


def single(n: int, us: int) -> None:
    handler(n, us)


def bulk(numbers: range, us: int) -> None:
    for n in numbers:
        handler(n, us)


def call(n: int, us: int) -> Any:
    return handler(n, us).get(blocking=True, timeout=10)


def publish() -> None:
    """The publisher, in the imported module: a task belongs to its module, which must not be __main__."""
    publishing.serve(bulk, single, call)
