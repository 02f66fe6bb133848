"""A handler with real CPU work. Run a pool of it from this directory:

    bizzmq-worker --concurrency 8 tasks:handler

and publish work for it from another terminal: `python publish_tasks.py`.
"""

from __future__ import annotations

import logging
from typing import Any, Mapping

logger = logging.getLogger("tasks")


def handler(message: Mapping[str, Any]) -> None:
    """Factor `message["number"]` by trial division; some 20 milliseconds for what publish_tasks.py sends."""
    number = message["number"]
    found = factors(number)
    logger.info("%d = %s", number, " x ".join(map(str, found)))


def factors(number: int) -> list[int]:
    """The prime factors in ascending order. ValueError, thus a failed message, for less than 2."""
    if number < 2:
        raise ValueError(f"{number} has no prime factors")
    found = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1 if divisor == 2 else 2
    return [*found, number] if number > 1 else found
