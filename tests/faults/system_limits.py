"""System limits of a running pool: no more processes, no more descriptors. Linux only.

None of them needs help from the pool, and each can be lifted again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import uuid
from pathlib import Path
from typing import Iterator, Set

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, Scene

NOT_STARTED = "a worker could not be started"
_V1 = Path("/sys/fs/cgroup/pids")
_V2 = Path("/sys/fs/cgroup")


def handles_more(scene: Scene) -> None:
    scene.ledger.wait_handled(*scene.publish(*[{"do": "ok"}] * 20), timeout_s=PATIENCE_S)


def kill_worker(pool: Pool) -> None:
    os.kill(pool.worker_pids()[0], signal.SIGKILL)


def back_to_strength(scene: Scene, pool: Pool) -> None:
    eventually(lambda: len(pool.worker_pids()) == 2 and len(scene.registered()) == 2, PATIENCE_S, pool.log)


def helper_comes_back(scene: Scene, pool: Pool, role: str, former: int) -> None:
    """Check that a new janitor or template is there, and that a worker that dies now is replaced."""
    eventually(lambda: pool.helper_pid(role) != former, PATIENCE_S)
    kill_worker(pool)
    eventually(lambda: len(pool.started_worker_pids()) == 3, PATIENCE_S, pool.log)
    back_to_strength(scene, pool)
    handles_more(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)


@contextlib.contextmanager
def no_descriptors(pid: int, limit: int | None = None) -> Iterator[None]:
    """During the block this process can open no further descriptor, or none from this number on.

    The limit is not lower than the number of descriptors that the process polls: poll would fail otherwise.
    """
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = _kept_descriptors(pid)
    lowest_free = next(number for number in itertools.count() if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit or lowest_free, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _kept_descriptors(pid: int) -> Set[int]:
    """The descriptors of a process without files of /proc: a supervisor opens those for an instant, to read them."""
    kept = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            if not os.readlink(entry).startswith("/proc/"):
                kept.add(int(entry.name))
    return kept


class TaskLimit:
    """Limits the number of processes of a pool, including the supervisor: for root by a control group for the pool.

    RLIMIT_NPROC does not apply to root. For other users it counts all processes of the user, so it can only express
    "not one more".
    """

    def __init__(self, pool: Pool) -> None:
        self._pids = [process.pid for process in pool.living()]
        self._group: Path | None = None
        if os.geteuid() == 0:
            self._group = _new_group()
            for pid in self._pids:
                (self._group / "cgroup.procs").write_text(str(pid))

    def forbid(self, spare: int = 0) -> None:
        """Allow at most `spare` processes in addition to those that are alive now."""
        if self._group is not None:
            tasks = len((self._group / "cgroup.procs").read_text().split())
            (self._group / "pids.max").write_text(str(tasks + spare))
            return
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NPROC, (0, resource.prlimit(pid, resource.RLIMIT_NPROC)[1]))

    def allow(self) -> None:
        """Lift the limit."""
        if self._group is not None:
            (self._group / "pids.max").write_text("max")
            return
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                hard = resource.prlimit(pid, resource.RLIMIT_NPROC)[1]
                resource.prlimit(pid, resource.RLIMIT_NPROC, (hard, hard))

    def close(self) -> None:
        """Remove the group; the pool must be gone."""
        if self._group is not None:
            eventually(self._removed, 30, "the control group to be empty", ignoring=(OSError,))

    def _removed(self) -> bool:
        if self._group is not None and self._group.exists():
            self._group.rmdir()
        return True


def _new_group() -> Path:
    """Create a control group. Raises OSError if this system does not permit it."""
    parent = _V1 if (_V1 / "cgroup.procs").exists() else _V2
    group = parent / f"bizzmq-test-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    if not (group / "pids.max").exists():
        group.rmdir()
        raise OSError("control groups here do not count processes")
    return group
