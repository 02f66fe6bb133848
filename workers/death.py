"""What a worker's death means: how it ended, whom to blame, what its messages are owed."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass, field
from typing import Any, Mapping, Sequence

from bizzmq.workers.scoreboard import Activity, Snapshot

STOPPED = "stopped"
CRASH = "crash"
FAILED = "failed"


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

    @property
    def signal_name(self) -> str:
        """The name of the signal that ended it, or ""."""
        if self.signal_number is None:
            return ""
        try:
            return signal.Signals(self.signal_number).name
        except ValueError:
            return f"signal {self.signal_number}"

    def __str__(self) -> str:
        if self.signal_number is not None:
            return f"was killed by {self.signal_name}"
        return "vanished" if self.code is None else f"exited with code {self.code}"


@dataclass(frozen=True)
class Burial:
    """What the janitor is told of a worker that is gone; see `verdict` and registry.Death.

    Attributes:
        queue: of the message that was running, or "".
        error_type: for a passed limit, the name of the error in bizzmq.errors.
        facts: what is known of the death, for the message's record.
    """

    worker: str
    what: str
    running: str
    last_finished: str
    reason: str
    queue: str = ""
    error_type: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_message(self) -> dict[str, Any]:
        return asdict(self)


def burial(
    worker: str,
    record: Snapshot,
    reason: str,
    queues: Sequence[str],
    *,
    blame: bool,
    error_type: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Burial:
    """Decide what a dead worker's messages are owed.

    Args:
        record: the last thing its slot's record said.
        reason: how it ended, as the end of a sentence.
        queues: the pool's, which the record's index counts.
        blame: False if it was ended by us, for a cause that is not its message's.
        error_type: if it was ended by us because of a limit, the error that this is.
    """
    ran = record.activity in (Activity.RUNNING, Activity.SETTLING)
    blamed = blame and record.activity is Activity.RUNNING
    return Burial(
        worker=worker,
        what=(FAILED if error_type else CRASH) if blamed else STOPPED,
        running=record.running if ran else "",
        last_finished=record.last_finished,
        reason=reason,
        queue=queues[record.queue_index] if ran and record.queue_index < len(queues) else "",
        error_type=error_type if blamed else "",
        facts=dict(facts or {}),
    )
