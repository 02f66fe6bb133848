"""How a pool comes to its end: when it began to, how urgent it is, and when it has to be over."""

from __future__ import annotations

from enum import Enum

from bizzmq import clock
from bizzmq.workers.signals import REPEAT_S


class Urgency(Enum):
    """WORKING, then DRAINING (finish what runs), then STOPPING (give everything back at once)."""

    WORKING = 0
    DRAINING = 1
    STOPPING = 2


class Drain:
    """The course of one drain. Monotonic seconds.

    Attributes:
        at_stake: whether something has to be given back to Redis that a worker still held when it ended.
    """

    def __init__(self, timeout_s: float, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._since_s = 0.0
        self.urgency = Urgency.WORKING
        self.at_stake = False

    @property
    def begun(self) -> bool:
        return self.urgency is not Urgency.WORKING

    def ask(self, *, at_once: bool = False) -> bool:
        """A signal asks for the end; returns whether that made it more urgent.

        A second ask within a second of the first is taken for the same one, sent twice.
        """
        now_s = self._now_s()
        if self.begun and not at_once and now_s - self._since_s < REPEAT_S:
            return False
        wanted = Urgency.STOPPING if at_once or self.begun else Urgency.DRAINING
        if not self.begun:
            self._since_s = now_s
        changed = wanted is not self.urgency
        self.urgency = wanted
        return changed

    @property
    def kill_at_s(self) -> float:
        """When workers are killed, so that the whole drain, the giving back included, fits its time."""
        return self._since_s + self._timeout_s - min(1.0, self._timeout_s / 10)

    @property
    def overdue(self) -> bool:
        return self.begun and self._now_s() >= self.kill_at_s

    def give_up_at_s(self) -> float:
        """Until when the janitor may try to have everything given back."""
        now_s = self._now_s()
        return max(now_s + 0.2, self._since_s + self._timeout_s) if self.begun else now_s + 5.0
