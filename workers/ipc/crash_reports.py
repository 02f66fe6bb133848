"""The deaths of workers, until the pool's next worker receives them."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from bizzmq.middleware.base import WorkerCrash

MOST_CRASHES = 8


class CrashReports:
    """The last crashes of a pool, and how many earlier ones are left out."""

    def __init__(self) -> None:
        self._crashes: deque[WorkerCrash] = deque()
        self._left_out = 0

    def add(self, crash: WorkerCrash) -> None:
        """Keep a crash. If there are too many, the oldest is left out."""
        self._crashes.append(crash)
        if len(self._crashes) > MOST_CRASHES:
            self._crashes.popleft()
            self._left_out += 1

    def take(self) -> list[WorkerCrash]:
        """The crashes, the oldest first; they are forgotten here."""
        crashes = list(self._crashes)
        if crashes:
            crashes[0] = replace(crashes[0], earlier=self._left_out)
        self._crashes.clear()
        self._left_out = 0
        return crashes
