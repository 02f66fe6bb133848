"""One place in the pool: the worker process that has it now, and when it may have the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bizzmq.utils import backoff
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.slot_activity import SlotActivity

_AT_WORK_MAX_S = 1.0


class Phase(Enum):
    """What a slot is there for."""

    FREE = "free"
    """No worker is needed here now."""
    EMPTY = "empty"
    """A worker is needed, from `start_at_s` on."""
    UP = "up"
    """There is a process."""
    FAILED = "failed"
    """Its worker could not boot when the pool was started."""
    DONE = "done"
    """Its worker has finished a burst."""


@dataclass
class Slot:
    """The state of one slot. Times are monotonic seconds.

    Attributes:
        pid: 0 until the template has reported the process.
        generation: which reload's code the worker runs.
        registered, booted: both are needed before the worker receives `Go`; `working` says that it has.
        without: queues on which it could not be registered yet.
        is_replacement: it starts to replace another worker, and is not counted yet.
        retiring: it drains because its replacement works or it is not needed, and is not counted any more.
        ended_by_us: why the supervisor has killed the worker; "" if it has not.
        blame: whether the message that was running is the cause of that kill.
        failure: if it is, because it passed a limit: the name of the error.
        memory_limit_mb: beyond this the worker is replaced; a little different for each.
        sent: the signals that the supervisor has sent it.
        template_pid: the template that has forked it; 0 for none.
        note: what is unusual about it now, or "".
        deaths_in_a_row: without a healthy life in between.
        restarts: processes that this slot has had.
    """

    index: int
    activity: SlotActivity
    phase: Phase = Phase.FREE
    worker: str = ""
    pid: int = 0
    channel: Channel | None = None
    generation: int = 0
    registered: bool = False
    without: tuple[str, ...] = ()
    booted: bool = False
    working: bool = False
    is_replacement: bool = False
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
    deaths_in_a_row: int = 0
    restarts: int = 0
    last_death: str = ""
    last_death_s: float = 0.0

    @property
    def is_counted(self) -> bool:
        """Whether it counts towards the number of workers that the pool should have."""
        return self.phase is not Phase.FREE and not self.is_replacement and not self.retiring

    def assign(self, worker: str, pid: int, channel: Channel, now_s: float, generation: int) -> None:
        """Take a worker whose process was started, or requested from a template."""
        self.phase, self.worker, self.pid, self.channel = Phase.UP, worker, pid, channel
        self.generation = generation
        self.registered = self.booted = self.working = False
        self.ended_by_us, self.blame, self.failure = "", True, ""
        self.sent, self.note = set(), ""
        self.recycling, self.memory_bytes = False, 0
        self.started_s = now_s
        self.restarts += 1

    def clear(self) -> None:
        """Drop the worker, which is gone. A counted slot may have another one at once."""
        if self.channel is not None:
            self.channel.close()
        self.phase = Phase.EMPTY if self.is_counted else Phase.FREE
        self.pid, self.channel = 0, None
        self.is_replacement = self.retiring = False
        self.start_at_s = 0.0

    def retire(self, now_s: float) -> None:
        """Stop counting the worker: its replacement works, or it is not needed. It drains from now on."""
        self.retiring, self.is_replacement, self.retiring_since_s = True, False, now_s

    def back_off(self, config: WorkerConfig, now_s: float, *, at_work: bool = False) -> float:
        """Make the slot wait after a death, longer each time; returns the seconds.

        The first death costs no wait: what it interrupted is worth more. After a life of `healthy_s`, earlier deaths
        are forgotten.

        Args:
            at_work: it died after it had begun with a message. Then the wait stays short: a message that kills is
                quarantined, and a queue of many such messages pauses; the others must not wait for their worker.
        """
        if now_s - self.started_s >= config.healthy_s:
            self.deaths_in_a_row = 0
        self.deaths_in_a_row += 1
        if self.deaths_in_a_row == 1:
            return 0.0
        longest_s = min(_AT_WORK_MAX_S, config.respawn_max_s) if at_work else config.respawn_max_s
        wait_s = backoff.jittered(backoff.doubled(config.respawn_s, self.deaths_in_a_row - 2, longest_s))
        self.start_at_s = now_s + wait_s
        return wait_s
