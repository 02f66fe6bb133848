"""What a worker's death means: how it ended, whom to blame, what its messages are owed."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass
from typing import Any

from bizzmq.workers.scoreboard import Activity, Snapshot

STOPPED = "stopped"
CRASH = "crash"


@dataclass(frozen=True)
class Exit:
    """How a child ended. Memory in bytes, CPU time in seconds."""

    code: int | None
    signal_number: int | None
    peak_memory_bytes: int
    cpu_s: float

    @classmethod
    def of(cls, status: int, usage: Any) -> Exit:
        """From the results of wait4."""
        kilobyte = 1 if os.uname().sysname == "Darwin" else 1024
        signaled = os.WIFSIGNALED(status)
        return cls(
            code=None if signaled else os.WEXITSTATUS(status),
            signal_number=os.WTERMSIG(status) if signaled else None,
            peak_memory_bytes=usage.ru_maxrss * kilobyte,
            cpu_s=round(usage.ru_utime + usage.ru_stime, 3),
        )

    @classmethod
    def unknown(cls) -> Exit:
        """Of a process that never was, or whose status nobody can tell."""
        return cls(code=None, signal_number=None, peak_memory_bytes=0, cpu_s=0.0)

    def __str__(self) -> str:
        if self.signal_number is not None:
            try:
                return f"was killed by {signal.Signals(self.signal_number).name}"
            except ValueError:
                return f"was killed by signal {self.signal_number}"
        return "vanished" if self.code is None else f"exited with code {self.code}"


@dataclass(frozen=True)
class Burial:
    """What the janitor is told of a worker that is gone; see broker.Death."""

    worker: str
    what: str
    running: str
    last_finished: str
    reason: str

    def as_message(self) -> dict[str, Any]:
        return asdict(self)


def burial(worker: str, record: Snapshot, reason: str, *, blame: bool) -> Burial:
    """Decide what a dead worker's messages are owed.

    Args:
        record: the last thing its slot's record said.
        reason: how it ended, for the crash record.
        blame: False if it was ended by us, for a cause that is not its message's.
    """
    ran = record.activity in (Activity.RUNNING, Activity.SETTLING)
    return Burial(
        worker=worker,
        what=CRASH if blame and record.activity is Activity.RUNNING else STOPPED,
        running=record.running if ran else "",
        last_finished=record.last_finished,
        reason=reason,
    )
