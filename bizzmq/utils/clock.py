"""The two clocks: Redis's wall clock is stored, a monotonic clock is compared."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Callable

Monotonic = Callable[[], float]
"""Seconds since an arbitrary start; never jumps. It is passed in, so that tests can control it."""

monotonic: Monotonic = time.monotonic
sleep = time.sleep


def wall_ms() -> int:
    """Milliseconds since the epoch, by this host's clock. To be shown, never to be compared."""
    return int(time.time() * 1000)


def _steady() -> Monotonic:
    """A clock that never jumps and, where the system has one, also runs while the host is suspended."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # the second one runs during suspension on macOS, not on Linux
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
"""How long a reading of Redis's clock is used, seconds: the clock may be set in the meantime."""


class ServerClock:
    """Redis's wall clock, extrapolated with a steady clock between two readings.

    So publishers on hosts with different clocks use the same time for their messages.
    """

    def __init__(self, now_s: Monotonic = steady) -> None:
        self._now_s = now_s
        self._offset_s: float | None = None
        self._valid_until_s = -math.inf

    def is_due(self) -> bool:
        """Whether Redis's clock must be read (again) before `micros`."""
        return self._now_s() > self._valid_until_s

    def invalidate(self) -> None:
        """Require a new reading: the connection may lead to another server now."""
        self._valid_until_s = -math.inf

    def sync(self, seconds: int, microseconds: int) -> None:
        """Set the clock from the reply of Redis's TIME command."""
        now_s = self._now_s()
        self._offset_s = seconds + microseconds / 1e6 - now_s
        self._valid_until_s = now_s + AGE_S

    def micros(self) -> int:
        """The current time of Redis's clock, microseconds since the epoch."""
        if self._offset_s is None:
            raise RuntimeError("sync() comes first")
        return int((self._now_s() + self._offset_s) * 1e6)
