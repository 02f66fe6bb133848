"""The yardstick of CPU-bound handlers: two processes that share the same work by a counter.

They are forked by an interpreter that is started for this one block. The speed of an interpreter differs from start
to start (where its code and data are in the caches) and stays the same while it runs. A pool is started for each
block, so its yardstick has to be, too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from bench.fair.processes import counter, in_processes
from bench.peers.apps import tally

WORKERS = 2


def per_s(count: int, ms: int, turns_per_us: float) -> float:
    """Messages a second of a new interpreter."""
    command = [sys.executable, "-m", __name__, str(count), str(int(ms * 1000 * turns_per_us))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


def shared(count: int, turns: int) -> float:
    """Messages a second of two processes that take numbers until none is left, from the release of the barrier."""
    spans = in_processes([_loop] * WORKERS, counter(), count, turns)
    return float(count / (max(span[1] for span in spans) - min(span[0] for span in spans)))


def _loop(barrier: Any, results: Any, _number: int, taken: Any, count: int, turns: int) -> None:
    barrier.wait()
    begin_s = time.monotonic()
    while True:
        with taken.get_lock():
            taken.value += 1
            if taken.value > count:
                break
        tally.spin(turns)
    results.put((begin_s, time.monotonic()))


if __name__ == "__main__":
    print(shared(int(sys.argv[1]), int(sys.argv[2])))
