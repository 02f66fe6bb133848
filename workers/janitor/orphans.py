"""The workers that outlive their supervisor: the janitor ends them, and settles what they leave."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import psutil

from bizzmq.utils import clock
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import REMINDER, Activity
from bizzmq.workers.ipc.worker_exit import WorkerExit
from bizzmq.workers.process.descendants import Descendants


@dataclass(frozen=True)
class _Adopted:
    slot: int
    process: psutil.Process


class OrphanedWorkers:
    """The processes of all workers of the pool, in case the supervisor dies.

    A pid is not enough: the janitor is not their parent, so a pid may be reused before it notices. psutil compares the
    start time, too.
    """

    def __init__(self, config: WorkerConfig, scoreboard: Scoreboard) -> None:
        self._config = config
        self._scoreboard = scoreboard
        self._adopted: dict[str, _Adopted] = {}
        self._deadline_s: float | None = None
        self._cancelled: dict[str, tuple[str, int, float]] = {}  # message, delivery, when to kill the worker
        self._descendants = Descendants()

    @property
    def living(self) -> bool:
        """Whether a worker is left."""
        return bool(self._adopted)

    @property
    def workers(self) -> list[str]:
        """The ids of those that are left."""
        return list(self._adopted)

    @property
    def slots(self) -> dict[str, int]:
        """The slot of each that is left, by its id."""
        return {worker: adopted.slot for worker, adopted in self._adopted.items()}

    def processes(self) -> list[tuple[str, int, psutil.Process]]:
        """The id, the slot and the process of each that is left."""
        return [(worker, adopted.slot, adopted.process) for worker, adopted in self._adopted.items()]

    def adopt(self, worker: str, pid: int, slot: int) -> bool:
        """Watch a worker that was just started; False if it is dead already.

        Raises:
            OSError: no descriptor is left to read the process's state.
        """
        try:
            self._adopted[worker] = _Adopted(slot, psutil.Process(pid))
        except psutil.NoSuchProcess:
            return False
        return True

    def forget(self, worker: str) -> None:
        """Stop watching a worker: the supervisor has reaped it."""
        self._adopted.pop(worker, None)

    def cancel(self, worker: str, message_id: str, delivery: int) -> None:
        """Cancel the message that an orphan runs, as its supervisor would."""
        adopted, known = self._adopted.get(worker), self._cancelled.get(worker)
        if adopted is None or (known is not None and known[:2] == (message_id, delivery)):
            return
        self._cancelled[worker] = message_id, delivery, clock.monotonic() + self._config.grace_s
        self._scoreboard.slot(adopted.slot).request_cancel(message_id, delivery)
        with contextlib.suppress(psutil.Error):
            adopted.process.send_signal(REMINDER)

    def _kill_at_s(self, worker: str, slot: int) -> float:
        """When an orphan is killed because it still runs a cancelled message. Monotonic seconds."""
        message_id, delivery, at_s = self._cancelled.get(worker, ("", 0, math.inf))
        snapshot = self._scoreboard.slot(slot).read()
        still_runs = (snapshot.activity, snapshot.running, snapshot.delivery) == (
            Activity.RUNNING,
            message_id,
            delivery,
        )
        return at_s if still_runs else math.inf

    def collect(self) -> list[WorkerExit]:
        """The orphans that have ended since the last call. After the drain timeout, the others are killed.

        No message is blamed: without the parent, a worker's exit status is unknown.
        """
        now_s = clock.monotonic()
        if self._deadline_s is None:
            self._deadline_s = now_s + self._config.drain_timeout_s
        gone = []
        for worker, adopted in list(self._adopted.items()):
            if _is_alive(adopted.process):
                if now_s >= min(self._deadline_s, self._kill_at_s(worker, adopted.slot)):
                    self._descendants.end(adopted.process.pid, worker)
                continue
            del self._adopted[worker]
            if _is_free(adopted.process):
                self._descendants.end_rest(adopted.process.pid, worker)
            activity = self._scoreboard.slot(adopted.slot)
            snapshot, results, checkpoint = activity.read(), activity.results(), activity.records.checkpoint()
            reason = "ended after its supervisor was gone"
            queues = self._config.queues
            gone.append(
                WorkerExit.of_snapshot(
                    worker,
                    snapshot,
                    reason,
                    queues,
                    blame=False,
                    results=results,
                    checkpoint=checkpoint,
                    output=activity.output(snapshot.running, snapshot.delivery),
                )
            )
        return gone


def _is_free(process: psutil.Process) -> bool:
    """Whether no other process has the pid of a worker that is gone.

    Then no other process group has its id, either: a new group needs a leader with that pid.
    """
    try:
        return process.is_running() or not psutil.pid_exists(process.pid)  # psutil counts a zombie as running
    except OSError:  # no descriptor is left to read its state
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except OSError:  # no descriptor is left to read its state
        return True
