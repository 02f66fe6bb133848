"""Handlers that need much memory: importing this module takes about 200 MB.

Half of it is large blocks, each with its reference count on one page. The other half is small objects with reference
counts on every page: when a handler reads an object, its page is copied into the worker. A garbage collection would
touch all of them if the template did not prevent that.
"""

from __future__ import annotations

import gc
import random
import zlib
from typing import Any, Tuple

BLOCKS = [bytes([number]) * (1 << 20) for number in range(100)]
ROWS = {f"row-{number:07}": (number, number + 0.5, [number]) for number in range(380_000)}
_COLLECT_EVERY = 1000
_seen = 0


def look_up(_body: Any) -> None:
    """Read one small object, any of 380,000."""
    read(_body)
    _row()


def look_through(_body: Any) -> None:
    """Read four small objects, on four pages."""
    read(_body)
    number, half, numbers = _row()
    assert number < half
    assert numbers


def _row() -> Tuple[Any, ...]:
    return ROWS[f"row-{random.randrange(len(ROWS)):07}"]


def read(_body: Any) -> None:
    """Read from one block; run the garbage collector from time to time, as it eventually runs in any worker."""
    global _seen  # noqa: PLW0603 - counts this worker's messages
    zlib.crc32(memoryview(BLOCKS[random.randrange(len(BLOCKS))])[:4096])
    _seen += 1
    if _seen % _COLLECT_EVERY == 0:
        gc.collect()
