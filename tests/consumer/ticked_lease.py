"""A lease with a manual clock."""

from __future__ import annotations

from typing import Callable

from bizzmq.broker.broker import Broker
from bizzmq.consumer.lease import Lease, LeaseOptions

OPTIONS = LeaseOptions(beat_s=3.0, lease_s=15.0, scan_s=5.0)
TICK_S = 0.5
REAPED_BY_S = OPTIONS.lease_s + OPTIONS.scan_s + TICK_S


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class TickedLease:
    """A lease on `q` and its clock."""

    def __init__(self, broker: Broker, supervisor: str = "watcher") -> None:
        self.clock = Clock()
        self.lease = Lease(broker, supervisor, ["q"], OPTIONS, self.clock)
        self.lease.register()
        self.started_s = self.clock.now_s

    def pass_time(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Advance the clock, with two ticks a second."""
        for _ in range(int(seconds / TICK_S)):
            self.clock.now_s += TICK_S
            meanwhile()
            self.lease.tick()

    def until(self, condition: Callable[[], bool], at_most_s: float) -> float:
        """Advance the clock until the condition holds; returns the seconds."""
        started_s = self.clock.now_s
        while not condition():
            assert self.clock.now_s - started_s < at_most_s, "not in time"
            self.pass_time(TICK_S)
        return self.clock.now_s - started_s
