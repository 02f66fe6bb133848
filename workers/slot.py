"""One place in the pool: the worker process that has it now, and when it may have the next one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.scoreboard import SlotRecord


class Phase(Enum):
    """EMPTY waits for `start_at_s`; UP has a process; FAILED could not boot; DONE needs no worker any more."""

    EMPTY = "empty"
    UP = "up"
    FAILED = "failed"
    DONE = "done"


@dataclass
class Slot:
    """Bookkeeping of one slot. Times are monotonic seconds.

    Attributes:
        registered, booted: both are needed before the worker is told to go.
        ended_by_us: why the supervisor has killed the worker; "" if it has not.
        blame: whether the message that was running is to blame for that kill.
        streak: deaths in a row without a healthy life in between.
    """

    index: int
    record: SlotRecord
    phase: Phase = Phase.EMPTY
    worker: str = ""
    pid: int = 0
    channel: Channel | None = None
    registered: bool = False
    booted: bool = False
    started_s: float = 0.0
    start_at_s: float = 0.0
    ended_by_us: str = ""
    blame: bool = True
    streak: int = 0

    def occupied(self, worker: str, pid: int, channel: Channel, now_s: float) -> None:
        """A process has been started for this slot."""
        self.phase, self.worker, self.pid, self.channel = Phase.UP, worker, pid, channel
        self.registered = self.booted = False
        self.ended_by_us, self.blame = "", True
        self.started_s = now_s

    def vacated(self) -> None:
        """The process is gone; the slot may have another one at once."""
        if self.channel is not None:
            self.channel.close()
        self.phase, self.pid, self.channel = Phase.EMPTY, 0, None
        self.start_at_s = 0.0

    def punish(self, config: WorkerConfig, now_s: float) -> float:
        """Make the slot wait after a death, longer each time; returns the seconds.

        The first death costs no wait: what it interrupted is worth more. A life of `healthy_s` forgives.
        """
        if now_s - self.started_s >= config.healthy_s:
            self.streak = 0
        self.streak += 1
        if self.streak == 1:
            return 0.0
        ceiling_s = min(config.respawn_max_s, config.respawn_s * 2.0 ** min(self.streak - 2, 30))
        wait_s = ceiling_s * (0.5 + random.random() / 2)
        self.start_at_s = now_s + wait_s
        return wait_s
