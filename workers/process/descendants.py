"""The processes that a worker's handlers have started. They carry the worker's mark, and end with it.

The worker is stopped before the search, and each descendant when it is found, so that none starts another process
meanwhile. A descendant that has lost its parent is a child of the supervisor, which is a child subreaper.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Callable, Collection

from bizzmq.utils import detached
from bizzmq.workers.process import syscalls

_ROUNDS = 50
"""The most rounds of the search. A round finds what the processes of the round before have started until their stop."""


class Descendants:
    """Finds and ends descendants of workers.

    Args:
        own: returns the pids of the pool's workers, which are not searched. None if this process does not adopt their
            orphans: then all processes of the system are searched.
    """

    def __init__(self, own: Callable[[], Collection[int]] | None = None) -> None:
        self._own = own if own is not None and _kernel_lists_children() else None
        self._killed: set[int] = set()

    def of(self, pid: int, worker: str) -> set[int]:
        """The live processes that a worker's handlers have started."""
        return self._marked(pid, worker) if detached.IS_POSSIBLE else set()

    def end(self, pid: int, worker: str) -> None:
        """Kill a worker and all that it has started."""
        syscalls.signal_process(pid, signal.SIGSTOP)
        self._kill_all(pid, worker)
        syscalls.kill_group(pid)

    def end_rest(self, pid: int, worker: str) -> None:
        """Kill what a dead worker has left, in its process group and elsewhere."""
        syscalls.kill_group(pid)
        self._kill_all(pid, worker)

    def end_started(self, pid: int, worker: str, since_ticks: int = 0) -> None:
        """Kill what a worker has started, but not the worker.

        Args:
            since_ticks: kill only what has started at or after this time of `ticks_now`; a tick is mostly 10 ms.
        """
        self._kill_all(pid, worker, since_ticks)

    def reap(self, pid: int, worker: str) -> tuple[int, Any] | None:
        """Reap a worker, as `syscalls.reap`, and kill all that it has left."""
        return syscalls.reap(pid, lambda: self._kill_all(pid, worker))

    def reap_killed(self) -> None:
        """Reap the killed descendants that have become children of this process."""
        for pid in list(self._killed):
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == pid:
                    self._killed.discard(pid)
            except ChildProcessError:
                if not _start_of(pid):  # otherwise it is still the child of another process
                    self._killed.discard(pid)

    def _kill_all(self, pid: int, worker: str, since_ticks: int = 0) -> None:
        if not detached.IS_POSSIBLE:
            return
        found: dict[int, bytes] = {}
        for _ in range(_ROUNDS):
            marked = {other: _start_of(other) for other in self._marked(pid, worker) if other not in found}
            new = {other: start for other, start in marked.items() if start and int(start) >= since_ticks}
            for other, start in new.items():
                _signal(other, start, signal.SIGSTOP)
            if not new:
                break
            found.update(new)
        for other, start in found.items():
            _signal(other, start, signal.SIGKILL)
        self._killed.update(found)

    def _marked(self, pid: int, worker: str) -> set[int]:
        """The processes that carry this worker's mark, without the worker itself."""
        wanted = detached.mark_of(worker)
        if self._own is None:
            return {other for other in _all_pids() if other != pid and detached.read_mark(other) == wanted}
        own, marks = self._own(), {pid: wanted}
        pending = _children(pid) + [child for child in _children(os.getpid()) if child not in own]
        while pending:
            other = pending.pop()
            if other not in marks:
                marks[other] = detached.read_mark(other)
                if marks[other] in (wanted, 0):  # another mark: it belongs to another worker
                    pending += _children(other)
        return {other for other, mark in marks.items() if mark == wanted and other != pid}


def ticks_now() -> int:
    """The time since the system's start, in the ticks of the start times in /proc."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return int(time.clock_gettime(clock) * os.sysconf("SC_CLK_TCK"))


def _signal(pid: int, start: bytes, number: int) -> None:
    """Signal a process, unless its pid belongs to another process by now."""
    if start and _start_of(pid) == start:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            return  # it is gone, or runs as another user by now


def _start_of(pid: int) -> bytes:
    """The start time of a process in ticks; b"" if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - as detached.read_mark
            return stat.read().rpartition(b")")[2].split()[19]
    except (OSError, IndexError):
        return b""


def _all_pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - only the names are needed
    except OSError:
        return []  # /proc is not mounted


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as _all_pids
            with open(f"/proc/{pid}/task/{task}/children", "rb") as children:  # noqa: PTH123 - as detached.read_mark
                found += map(int, children.read().split())
    except OSError:
        return found  # the process is exiting
    return found


def _kernel_lists_children() -> bool:
    """Whether the kernel lists the children of a process (CONFIG_PROC_CHILDREN)."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110 - as detached.read_mark
