"""Publish two messages and handle them in this process, until Ctrl+C.

It needs a Redis server: set BIZZMQ_REDIS_URL to its URL, or to `embedded://`, which starts a private one.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from bizzmq import BizzMQ
from bizzmq.message import MessageOptions
from bizzmq.queue import QueueOptions

REDIS_URL = os.environ.get("BIZZMQ_REDIS_URL", "redis://localhost:6379")
QUEUE = "email-queue"


def message_handler(message: Any) -> bool:
    print(f"Processing message: {message}")
    print("Processed message successfully!")
    return True


def main() -> None:
    with BizzMQ(redis_url=REDIS_URL) as client:
        client.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True, max_retries=3))
        for number, content in enumerate(["Hello from BizzMQ!", "Hello from BizzMQ! Second Message"], start=1):
            message = {"id": number, "content": content, "timestamp": time.time()}
            client.publish_message_to_queue(QUEUE, message, MessageOptions())

        stopped = threading.Event()

        def stop(_number: int, _frame: FrameType | None) -> None:
            stopped.set()

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)

        print(f"Starting consumer for queue: {QUEUE}")
        cleanup = client.consume_message_from_queue(QUEUE, message_handler)
        print("Consumer running. Press Ctrl+C to stop...")
        stopped.wait()
        print("\nShutting down...")
        cleanup()


if __name__ == "__main__":
    main()
