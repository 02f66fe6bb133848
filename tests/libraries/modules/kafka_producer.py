"""A producer made at import: its library has threads with callbacks. No broker is running."""

import time

from confluent_kafka import Producer

told = []
producer = Producer({
    "bootstrap.servers": "127.0.0.1:1", "log_level": 0, "error_cb": lambda error: None,
    "statistics.interval.ms": 50, "stats_cb": told.append,
})  # fmt: skip


def handler(body):
    failures = []
    producer.produce("topic", str(body).encode(), on_delivery=lambda error, message: failures.append(error))
    producer.purge()
    assert producer.flush(20) == 0
    assert len(failures) == 1 and failures[0] is not None
    told.clear()
    wait_until_s = time.monotonic() + 20
    while not told and time.monotonic() < wait_until_s:
        producer.poll(0.1)
    assert told
