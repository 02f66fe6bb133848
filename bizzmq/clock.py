"""The two clocks: Redis's wall clock is stored, a monotonic clock is compared."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Callable

Monotonic = Callable[[], float]
"""Seconds from an arbitrary start; never jumps. Passed in, so that tests can own it."""

monotonic: Monotonic = time.monotonic
sleep = time.sleep


def _steady() -> Monotonic:
    """A clock that never jumps and does not stand still while its host is suspended, if there is one."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # on macOS the latter one; on Linux it stands still
        number = getattr(time, name, None)
        if number is None:
            continue
        try:
            time.clock_gettime(number)
        except OSError:
            continue
        return partial(time.clock_gettime, number)
    return time.monotonic


steady: Monotonic = _steady()
AGE_S = 10.0
"""How long an answer of Redis's about its time is good, seconds: its clock may be set meanwhile."""


class ServerClock:
    """Redis's wall clock, kept by a steady clock between two readings.

    Publishers on hosts whose own clocks disagree stamp messages alike this way.
    """

    def __init__(self, now_s: Monotonic = steady) -> None:
        self._now_s = now_s
        self._offset_s: float | None = None
        self._good_until_s = -math.inf

    def is_due(self) -> bool:
        """Whether Redis should be asked (again) first."""
        return self._now_s() > self._good_until_s

    def doubt(self) -> None:
        """Have Redis asked again: it may be another server now."""
        self._good_until_s = -math.inf

    def sync(self, seconds: int, microseconds: int) -> None:
        """Take over the answer of Redis's TIME command."""
        now_s = self._now_s()
        self._offset_s = seconds + microseconds / 1e6 - now_s
        self._good_until_s = now_s + AGE_S

    def micros(self) -> int:
        """Microseconds since the epoch, as Redis would say them now."""
        if self._offset_s is None:
            raise RuntimeError("sync() comes first")
        return int((self._now_s() + self._offset_s) * 1e6)
