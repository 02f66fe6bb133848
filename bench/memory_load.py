"""Handlers that need much memory: about 200 MB are there once this module has been imported.

Half of it are large blocks, of which reference counts touch one page each. Half are small objects, whose counts
stand on every page: the page of each object that a handler looks at is copied into its worker. A garbage collection
would look at all of them, if the template did not keep it off.
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
    """Look at one small object, any of 380,000."""
    read(_body)
    _row()


def look_through(_body: Any) -> None:
    """Look at the parts of a row, too: four small objects on as many pages."""
    read(_body)
    number, half, numbers = _row()
    assert number < half
    assert numbers


def _row() -> Tuple[Any, ...]:
    return ROWS[f"row-{random.randrange(len(ROWS)):07}"]


def read(_body: Any) -> None:
    """Read of one block; from time to time all garbage is collected, as happens in any worker sooner or later."""
    global _seen  # noqa: PLW0603 - counts this worker's messages
    zlib.crc32(memoryview(BLOCKS[random.randrange(len(BLOCKS))])[:4096])
    _seen += 1
    if _seen % _COLLECT_EVERY == 0:
        gc.collect()
