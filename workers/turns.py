"""Whose worker is to be replaced next."""

from __future__ import annotations

from collections import deque

from bizzmq.workers.scoreboard import Activity
from bizzmq.workers.slot import Phase, Slot


class Turns:
    """Slots that wait for their worker's replacement, and why. None waits twice."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Slot, str]] = deque()

    def add(self, slot: Slot, why: str) -> None:
        """Let it wait, behind the others."""
        if not any(slot is waiting for waiting, _ in self._waiting):
            self._waiting.append((slot, why))

    def give_back(self, slot: Slot, why: str) -> None:
        """Its turn came to nothing: it waits before the others."""
        self._waiting.appendleft((slot, why))

    def clear(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()

    def take(self) -> tuple[Slot | None, str]:
        """The longest waiting one that is idle, or else the longest waiting one: it may run a message for hours."""
        self._waiting = deque(
            (slot, why)
            for slot, why in self._waiting
            if slot.phase is Phase.UP and slot.counts and not slot.ended_by_us
        )
        if not self._waiting:
            return None, ""
        chosen = min(self._waiting, key=lambda waiting: is_busy(waiting[0]))
        self._waiting.remove(chosen)
        return chosen


def is_busy(slot: Slot) -> bool:
    """Whether its worker runs a message."""
    return slot.record.read().activity is not Activity.IDLE
