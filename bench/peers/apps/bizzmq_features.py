"""BizzMQ as an arm whose messages use one feature, which the arm names."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, Optional

import publishing
import tally

from bizzmq import BizzMQ, Context, MessageOptions, QueueOptions

QUEUE, HOUR_S = "bench", 3600
TEXT = "a text that can be compressed, as most are; " * 90
DEBOUNCED = "debounced"


def key_of(body: Any) -> str:
    return f"key-{body['n']}"


OPTIONS: Mapping[str, MessageOptions] = {
    "key": MessageOptions(key="tenant-7"),
    "unique": MessageOptions(unique_key=key_of),
    "started": MessageOptions(unique_key=key_of, unique_until="started"),
    "throttled": MessageOptions(unique_key=key_of, unique_for_s=HOUR_S),
    "twice": MessageOptions(unique_key=key_of),
    DEBOUNCED: MessageOptions(unique_key=key_of, on_duplicate="replace", delay_s=0.01),
    "expiry": MessageOptions(expires_s=HOUR_S),
    "result": MessageOptions(result_ttl_s=HOUR_S),
    "result, progress": MessageOptions(result_ttl_s=HOUR_S),
}
QUEUES: Mapping[str, QueueOptions] = {
    "length": QueueOptions(max_length=10_000_000),
    "history": QueueOptions(history=True),
}


def plain(body: Any, _context: Context) -> Optional[str]:
    return tally.handle(body["n"], body["us"])


def progress(body: Any, context: Context) -> Optional[str]:
    context.progress(1, 2)
    return tally.handle(body["n"], body["us"])


def checkpoint(body: Any, context: Context) -> Optional[str]:
    context.checkpoint({"position": body["n"]})
    return tally.handle(body["n"], body["us"])


def output(body: Any, context: Context) -> Optional[str]:
    context.log("it runs")
    return tally.handle(body["n"], body["us"])


HANDLERS: Mapping[str, Callable[[Any, Context], Optional[str]]] = {
    "progress": progress, "result, progress": progress, "checkpoint": checkpoint, "output": output,
}  # fmt: skip
handler = HANDLERS.get(tally.feature, plain)


def publish() -> None:
    options, times = OPTIONS.get(tally.feature), 2 if tally.feature in ("twice", DEBOUNCED) else 1
    more = {"text": TEXT} if tally.feature in ("large", "compressed") else {}
    above = 1000 if tally.feature == "compressed" else None
    encoded = os.environ.get("BENCH_ENCRYPTION_KEY")
    keys = {"bench": encoded} if encoded else None
    with BizzMQ(os.environ["BENCH_URL"], compress_above_bytes=above, encryption_keys=keys) as mq:
        mq.create_queue(QUEUE, QUEUES.get(tally.feature, QueueOptions()))

        def bulk(numbers: range, us: int) -> None:
            bodies = [{"n": n, "us": us, **more} for n in numbers for _ in range(times)]
            mq.publish_messages_to_queue(QUEUE, bodies, options)

        def single(n: int, us: int) -> None:
            for _ in range(times):
                mq.publish_message_to_queue(QUEUE, {"n": n, "us": us, **more}, options)

        publishing.serve(bulk, single)


if __name__ == "__main__":
    publish()
