"""How a worker ended: its exit status, what it was running, and whether that message is to blame."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from bizzmq.broker.workers import DeathKind
from bizzmq.protocol.results import KeptResult, results_to_stored
from bizzmq.workers.ipc.records_area import Record
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot


@dataclass(frozen=True)
class ExitStatus:
    """How a child ended. Memory in bytes, CPU time in seconds."""

    code: int | None
    signal_number: int | None
    peak_memory_bytes: int
    cpu_s: float

    @classmethod
    def of(cls, status: int, usage: Any) -> ExitStatus:
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
    def unknown(cls) -> ExitStatus:
        """Of a process that was never forked, or whose status is lost."""
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
class WorkerExit:
    """What is known of a worker that is gone; the janitor makes a `DeadWorker` of it for each queue.

    Attributes:
        what: CRASH, FAILED or STOPPED.
        running: id of the message that was running, or "".
        last_finished: id of the last message that it finished, or "".
        reason: how it ended, as the end of a sentence.
        queue: the queue of the running message, or "".
        error_type: for a passed limit, the name of the error in bizzmq.errors.
        facts: what is known of the death, for the message's error snapshot.
        results: by id, those of finished messages, as of `results_to_stored`.
        checkpoint: the last one of the running message, as of `Record.to_stored`; empty without one.
        output: the end of what the running message has written.
    """

    worker: str
    what: DeathKind
    running: str
    last_finished: str
    reason: str
    queue: str = ""
    error_type: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> WorkerExit:
        """From its fields as JSON."""
        return cls(**{**fields, "what": DeathKind(fields["what"])})

    @classmethod
    def of_snapshot(
        cls,
        worker: str,
        snapshot: Snapshot,
        reason: str,
        queues: Sequence[str],
        *,
        blame: bool,
        error_type: str = "",
        facts: Mapping[str, Any] | None = None,
        results: Mapping[str, KeptResult] | None = None,
        checkpoint: Record | None = None,
        output: bytes = b"",
    ) -> WorkerExit:
        """From the last snapshot of a worker's slot.

        Args:
            reason: how it ended, as the end of a sentence.
            queues: the pool's, which the snapshot's index counts.
            blame: False if its message is not the cause, such as when the supervisor ended the worker in a drain.
            error_type: if the supervisor ended it because of a limit, the name of that limit's error.
        """
        ran = snapshot.activity in (Activity.RUNNING, Activity.SETTLING)
        blamed = blame and snapshot.activity is Activity.RUNNING
        return cls(
            worker=worker,
            what=(DeathKind.FAILED if error_type else DeathKind.CRASH) if blamed else DeathKind.STOPPED,
            running=snapshot.running if ran else "",
            last_finished=snapshot.last_finished,
            reason=reason,
            queue=queues[snapshot.queue_index] if ran and snapshot.queue_index < len(queues) else "",
            error_type=error_type if blamed else "",
            facts=dict(facts or {}),
            results=results_to_stored(results or {}) if snapshot.last_finished else {},
            checkpoint=checkpoint.to_stored()
            if checkpoint and ran and checkpoint.message_id == snapshot.running
            else {},
            output=output.decode("utf-8", "replace") if ran else "",
        )
