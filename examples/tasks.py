"""A handler with CPU-bound work. Run a pool in this directory:

    bizzmq-worker --concurrency 8 tasks:handler

Then publish messages from another terminal: `python publish_tasks.py`.
"""

from __future__ import annotations

import logging
from typing import Any, Mapping

logger = logging.getLogger("tasks")


def handler(message: Mapping[str, Any]) -> None:
    """Factor `message["number"]` by trial division; about 20 milliseconds for a number of publish_tasks.py."""
    number = message["number"]
    found = factors(number)
    logger.info("%d = %s", number, " x ".join(map(str, found)))


def factors(number: int) -> list[int]:
    """The prime factors in ascending order. Raises ValueError for a number below 2, so that the message fails."""
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
