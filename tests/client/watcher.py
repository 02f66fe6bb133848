"""A lease keeper with a clock of the test's own."""

from __future__ import annotations

from typing import Callable

from bizzmq.broker import Broker
from bizzmq.lease import LeaseKeeper, LeaseOptions

OPTIONS = LeaseOptions(beat_s=3.0, lease_s=15.0, scan_s=5.0)
TICK_S = 0.5
REAPED_BY_S = OPTIONS.lease_s + OPTIONS.scan_s + TICK_S


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Watcher:
    """A keeper on `q` and its clock."""

    def __init__(self, broker: Broker, supervisor: str = "watcher") -> None:
        self.clock = Clock()
        self.keeper = LeaseKeeper(broker, supervisor, ["q"], OPTIONS, self.clock)
        self.keeper.register()
        self.started_s = self.clock.now_s

    def pass_time(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Tick twice a second."""
        for _ in range(int(seconds / TICK_S)):
            self.clock.now_s += TICK_S
            meanwhile()
            self.keeper.tick()

    def until(self, condition: Callable[[], bool], at_most_s: float) -> float:
        """Seconds until the condition held, from now."""
        started_s = self.clock.now_s
        while not condition():
            assert self.clock.now_s - started_s < at_most_s, "not in time"
            self.pass_time(TICK_S)
        return self.clock.now_s - started_s
