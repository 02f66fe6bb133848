"""The end of a pool: when its drain has begun, how urgent it is, and when it has to be over."""

from __future__ import annotations

from enum import Enum

from bizzmq.utils import clock
from bizzmq.workers.supervisor.signals import REPEAT_S

_GIVE_BACK_S = 1.0
"""The least time for giving messages back after the last worker has ended, also in a short drain."""


class DrainState(Enum):
    """WORKING, then DRAINING (finish what runs), then STOPPING (give everything back at once)."""

    WORKING = 0
    DRAINING = 1
    STOPPING = 2


class Drain:
    """One drain. Monotonic seconds.

    Attributes:
        state: how urgent the drain is.
        at_stake: whether messages have to be given back to Redis that a worker still held when it ended.
    """

    def __init__(self, timeout_s: float, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._since_s = 0.0
        self.state = DrainState.WORKING
        self.at_stake = False

    @property
    def begun(self) -> bool:
        """Whether the pool has to end."""
        return self.state is not DrainState.WORKING

    def request(self, *, at_once: bool = False) -> bool:
        """Request the end of the pool; returns whether that made it more urgent.

        A second request within a second of the first counts as the same one, sent twice.
        """
        now_s = self._now_s()
        if self.begun and not at_once and now_s - self._since_s < REPEAT_S:
            return False
        wanted = DrainState.STOPPING if at_once or self.begun else DrainState.DRAINING
        if not self.begun:
            self._since_s = now_s
        changed = wanted is not self.state
        self.state = wanted
        return changed

    @property
    def kill_at_s(self) -> float:
        """When workers are killed, so that the whole drain fits its time, including what is given back."""
        return self._since_s + self._timeout_s - min(1.0, self._timeout_s / 10)

    @property
    def overdue(self) -> bool:
        """Whether the workers that are left have to be killed."""
        return self.begun and self._now_s() >= self.kill_at_s

    def give_up_at_s(self) -> float:
        """Until when the janitor may try to give everything back."""
        now_s = self._now_s()
        return max(now_s + _GIVE_BACK_S, self._since_s + self._timeout_s) if self.begun else now_s + 5.0
