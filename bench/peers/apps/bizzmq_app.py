"""BizzMQ itself as an arm."""

from __future__ import annotations

import os
from typing import Any

import publishing
import tally

from bizzmq import BizzMQ

QUEUE = "bench"


def handler(body: Any) -> None:
    tally.handle(body["n"], body["us"])


def publish() -> None:
    with BizzMQ(os.environ["BENCH_URL"]) as mq:
        mq.create_queue(QUEUE)
        publishing.serve(
            lambda numbers, us: mq.publish_messages_to_queue(QUEUE, [{"n": n, "us": us} for n in numbers]),
            lambda n, us: mq.publish_message_to_queue(QUEUE, {"n": n, "us": us}),
        )


if __name__ == "__main__":
    publish()
