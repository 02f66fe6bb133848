"""A message that always fails: it is tried three times, and then the dead-letter queue's own handler gets it.

It needs a Redis server: set BIZZMQ_REDIS_URL to its URL, or to `embedded://`, which starts a private one. Ctrl+C ends
it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from bizzmq import BizzMQ, Context
from bizzmq.message import MessageOptions
from bizzmq.queue import QueueOptions

REDIS_URL = os.environ.get("BIZZMQ_REDIS_URL", "redis://redis:6379")
QUEUE = "main-queue"
DEAD_LETTER_QUEUE = f"{QUEUE}_dlq"


def intentional_failure_handler(message: Any) -> None:
    print(f"Receiving message: {message}")
    raise Exception("Simulated failure to demonstrate DLQ")


def dlq_message_handler(message: Any, context: Context) -> bool:
    print(f"DLQ received failed message: {message}")
    if context.error:  # the record of the error that put the message here
        print(f"It failed with {context.error['error_type']}: {context.error['error']}")
    return True


def main() -> None:
    with BizzMQ(redis_url=REDIS_URL) as client:
        client.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True, max_retries=2))
        message = {"id": 1, "content": "This message will fail and go to DLQ", "timestamp": time.time()}
        client.publish_message_to_queue(QUEUE, message, MessageOptions())

        stopped = threading.Event()

        def stop(_number: int, _frame: FrameType | None) -> None:
            stopped.set()

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)

        cleanups = [
            client.consume_message_from_queue(QUEUE, intentional_failure_handler),
            client.consume_message_from_queue(DEAD_LETTER_QUEUE, dlq_message_handler),
        ]
        print("Consumers running. Press Ctrl+C to stop...")
        stopped.wait()
        print("\nShutting down...")
        for cleanup in cleanups:
            cleanup()


if __name__ == "__main__":
    main()
