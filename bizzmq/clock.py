"""The two clocks: Redis's wall clock is stored, a monotonic clock is compared."""

from __future__ import annotations

import time
from typing import Callable

Monotonic = Callable[[], float]
"""Seconds from an arbitrary start; never jumps. Passed in, so that tests can own it."""

monotonic: Monotonic = time.monotonic
sleep = time.sleep


class ServerClock:
    """Redis's wall clock, kept by the monotonic clock between two readings.

    Publishers on hosts whose own clocks disagree stamp messages alike this way.
    """

    def __init__(self, now_s: Monotonic = monotonic) -> None:
        self._now_s = now_s
        self._offset_s: float | None = None

    @property
    def known(self) -> bool:
        return self._offset_s is not None

    def sync(self, seconds: int, microseconds: int) -> None:
        """Take over the answer of Redis's TIME command."""
        self._offset_s = seconds + microseconds / 1e6 - self._now_s()

    def micros(self) -> int:
        """Microseconds since the epoch, as Redis would say them now."""
        if self._offset_s is None:
            raise RuntimeError("sync() comes first")
        return int((self._now_s() + self._offset_s) * 1e6)
