"""A handler that needs much memory: about 200 MB are there once this module has been imported.

Half of it are large blocks, of which reference counts touch one page each. Half are small objects, whose counts
stand on every page: what a handler looks at is copied into its worker, and a garbage collection that is not
kept off would look at all.
"""

from __future__ import annotations

import gc
import random
import zlib
from typing import Any

BLOCKS = [bytes([number]) * (1 << 20) for number in range(100)]
ROWS = {f"row-{number:07}": (number, number + 0.5, [number]) for number in range(380_000)}
_COLLECT_EVERY = 1000
_seen = 0


def look_up(_body: Any) -> None:
    """Read one block, look up a row, and have all garbage collected from time to time."""
    global _seen  # noqa: PLW0603 - counts this worker's messages
    number, _, _ = ROWS[f"row-{random.randrange(len(ROWS)):07}"]
    zlib.crc32(memoryview(BLOCKS[number % len(BLOCKS)])[:4096])
    _seen += 1
    if _seen % _COLLECT_EVERY == 0:
        gc.collect()
