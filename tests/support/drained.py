"""What is left on a queue."""

from __future__ import annotations

from typing import Any

from bizzmq import BizzMQ


def drained(mq: BizzMQ, queue: str = "q", timeout_s: float = 60.0) -> list[Any]:
    """Handle all messages of the queue, and return their bodies."""
    bodies: list[Any] = []
    mq.consume_until_empty(queue, bodies.append, timeout_s=timeout_s)
    return bodies
