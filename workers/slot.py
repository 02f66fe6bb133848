"""One place in the pool: the worker process that has it now, and when it may have the next one."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum

from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.scoreboard import SlotRecord

_AT_WORK_MAX_S = 1.0


class Phase(Enum):
    """What a slot is there for."""

    SPARE = "spare"
    """Nobody is wanted here now."""
    EMPTY = "empty"
    """A worker is wanted, from `start_at_s` on."""
    UP = "up"
    """There is a process."""
    FAILED = "failed"
    """Its worker could not boot when the pool was started."""
    DONE = "done"
    """A burst is over here."""


@dataclass
class Slot:
    """Bookkeeping of one slot. Times are monotonic seconds.

    Attributes:
        pid: 0 while the template has been asked for the process.
        generation: which reload's code the worker runs.
        registered, booted: both are needed before the worker is told to go; `working` says that it was.
        without: queues on which it could not be registered yet.
        understudy: it is there to replace another one, and does not count yet.
        retiring: it has been told to leave because another one has taken its place, and does not count any more.
        ended_by_us: why the supervisor has killed the worker; "" if it has not.
        blame: whether the message that was running is to blame for that kill.
        failure: if it is, because it passed a limit: the name of the error.
        memory_limit_mb: beyond this the worker is replaced; a little different for each.
        sent: the signals that the supervisor has sent it.
        template_pid: the template that has forked it; 0 for none.
        note: what is odd about it now, or "".
        streak: deaths in a row without a healthy life in between.
        restarts: processes that this slot has had.
    """

    index: int
    record: SlotRecord
    phase: Phase = Phase.SPARE
    worker: str = ""
    pid: int = 0
    channel: Channel | None = None
    generation: int = 0
    registered: bool = False
    without: tuple[str, ...] = ()
    booted: bool = False
    working: bool = False
    understudy: bool = False
    retiring: bool = False
    started_s: float = 0.0
    retiring_since_s: float = 0.0
    start_at_s: float = 0.0
    ended_by_us: str = ""
    blame: bool = True
    failure: str = ""
    sent: set[int] = field(default_factory=set)
    template_pid: int = 0
    note: str = ""
    recycling: bool = False
    memory_bytes: int = 0
    memory_limit_mb: float = 0.0
    streak: int = 0
    restarts: int = 0
    last_death: str = ""
    last_death_s: float = 0.0

    @property
    def counts(self) -> bool:
        """Whether it is one of the workers that the pool is meant to have."""
        return self.phase is not Phase.SPARE and not self.understudy and not self.retiring

    def occupied(self, worker: str, pid: int, channel: Channel, now_s: float, generation: int) -> None:
        """A process has been started, or asked for, for this slot."""
        self.phase, self.worker, self.pid, self.channel = Phase.UP, worker, pid, channel
        self.generation = generation
        self.registered = self.booted = self.working = False
        self.ended_by_us, self.blame, self.failure = "", True, ""
        self.sent, self.note = set(), ""
        self.recycling, self.memory_bytes = False, 0
        self.started_s = now_s
        self.restarts += 1

    def vacated(self) -> None:
        """The process is gone; the slot may have another one at once if it counts."""
        if self.channel is not None:
            self.channel.close()
        self.phase = Phase.EMPTY if self.counts else Phase.SPARE
        self.pid, self.channel = 0, None
        self.understudy = self.retiring = False
        self.start_at_s = 0.0

    def retire(self, now_s: float) -> None:
        """Another worker has taken its place, or it is not needed any more: it leaves when it has finished."""
        self.retiring, self.understudy, self.retiring_since_s = True, False, now_s

    def punish(self, config: WorkerConfig, now_s: float, *, at_work: bool = False) -> float:
        """Make the slot wait after a death, longer each time; returns the seconds.

        The first death costs no wait: what it interrupted is worth more. A life of `healthy_s` forgives.

        Args:
            at_work: it died after it had begun with a message. Then the wait stays short: a message that kills is
                quarantined, and a queue of many such messages pauses; the others must not wait for their worker.
        """
        if now_s - self.started_s >= config.healthy_s:
            self.streak = 0
        self.streak += 1
        if self.streak == 1:
            return 0.0
        longest_s = min(_AT_WORK_MAX_S, config.respawn_max_s) if at_work else config.respawn_max_s
        ceiling_s = min(longest_s, config.respawn_s * 2.0 ** min(self.streak - 2, 30))
        wait_s = ceiling_s * (0.5 + random.random() / 2)
        self.start_at_s = now_s + wait_s
        return wait_s
