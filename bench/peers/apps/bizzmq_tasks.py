"""Tasks of BizzMQ as an arm: `handler` is a task of an app, and keeps its result if the arm keeps results."""

from __future__ import annotations

import os
from typing import Optional

import publishing
import tally

from bizzmq import App

app = App(os.environ["BENCH_URL"], queue="bench")


@app.task(name="handler", result_ttl_s=tally.RESULT_TTL_S if tally.keeps_results else 0)
def handler(n: int, us: int) -> Optional[str]:
    return tally.handle(n, us)


def bulk(numbers: range, us: int) -> None:
    handler.publish_many([(n, us) for n in numbers])


def call(n: int, us: int) -> Optional[str]:
    return handler.publish(n, us).result(timeout_s=10)


if __name__ == "__main__":
    publishing.serve(bulk, handler.publish, call)
