"""Outlives the supervisor for a moment: sees its orphaned workers off, and knows what they are owed."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from bizzmq import clock
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.death import Burial, burial
from bizzmq.workers.descendants import Descendants
from bizzmq.workers.scoreboard import Scoreboard


@dataclass(frozen=True)
class _Adopted:
    slot: int
    process: psutil.Process


class Undertaker:
    """The workers that the supervisor has started, as processes that cannot be mistaken for others.

    A pid alone would not do: the janitor is not their parent, so a pid may be reused while it looks.
    psutil compares the start time, too.
    """

    def __init__(self, config: WorkerConfig, scoreboard: Scoreboard) -> None:
        self._config = config
        self._scoreboard = scoreboard
        self._adopted: dict[str, _Adopted] = {}
        self._deadline_s: float | None = None
        self._descendants = Descendants()

    @property
    def living(self) -> bool:
        """Whether a worker is left."""
        return bool(self._adopted)

    @property
    def workers(self) -> list[str]:
        """The ids of those that are left."""
        return list(self._adopted)

    def adopt(self, worker: str, pid: int, slot: int) -> bool:
        """Note a worker that has just been started; False if it is dead already.

        Raises:
            OSError: there is no descriptor left to look at its process.
        """
        try:
            self._adopted[worker] = _Adopted(slot, psutil.Process(pid))
        except psutil.NoSuchProcess:
            return False
        return True

    def forget(self, worker: str) -> None:
        """The supervisor has seen this worker's end itself."""
        self._adopted.pop(worker, None)

    def collect(self) -> list[Burial]:
        """The orphans that are gone by now. At the end of a drain's time the others are killed.

        Nobody is blamed: without the parent, a worker's exit status is unknown.
        """
        now_s = clock.monotonic()
        if self._deadline_s is None:
            self._deadline_s = now_s + self._config.drain_timeout_s
        gone = []
        for worker, adopted in list(self._adopted.items()):
            if _alive(adopted.process):
                if now_s >= self._deadline_s:
                    self._descendants.end(adopted.process.pid, worker)
                continue
            del self._adopted[worker]
            if _is_free(adopted.process):
                self._descendants.end_rest(adopted.process.pid, worker)
            record = self._scoreboard.slot(adopted.slot).read()
            gone.append(burial(worker, record, "ended after its supervisor was gone", self._config.queues, blame=False))
        return gone


def _is_free(process: psutil.Process) -> bool:
    """Whether the number of a worker that is gone is nobody else's yet.

    The group's id cannot be anybody else's then: a new group of that number needs a leader with that pid.
    """
    try:
        return process.is_running() or not psutil.pid_exists(process.pid)  # a zombie still runs, for psutil
    except OSError:  # no descriptor is left to look at it
        return False


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except OSError:  # no descriptor is left to look at it
        return True
