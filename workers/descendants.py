"""All that a worker's handlers have started, found by its mark and ended with it.

A worker is stopped before its descendants are looked for, and so is each of them when it is found, so that none starts
another one meanwhile. What has lost its parent is a child of the supervisor, which is a child subreaper.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Callable, Collection

from bizzmq import offspring
from bizzmq.workers import platform

_ROUNDS = 50
"""How often new ones are looked for: each round can only find what was started before the last one stopped it."""


class Descendants:
    """Finds and ends descendants of workers.

    Args:
        own: the pool's workers, which are not looked into; None if this process is not the one that adopts their
            orphans, and all processes have to be looked at.
    """

    def __init__(self, own: Callable[[], Collection[int]] | None = None) -> None:
        self._own = own if own is not None and _tells_children() else None
        self._killed: set[int] = set()

    def of(self, pid: int, worker: str) -> set[int]:
        """The processes that a worker's handlers have started, and that live."""
        return self._marked(pid, worker) if offspring.IS_POSSIBLE else set()

    def end(self, pid: int, worker: str) -> None:
        """End a worker and all that it has started."""
        platform.signal_process(pid, signal.SIGSTOP)
        self._kill_all(pid, worker)
        platform.kill_group(pid)

    def end_rest(self, pid: int, worker: str) -> None:
        """End what a worker that is gone has left, in its group and elsewhere."""
        platform.kill_group(pid)
        self._kill_all(pid, worker)

    def end_started(self, pid: int, worker: str, since_ticks: int = 0) -> None:
        """End what a worker has started, and not the worker.

        Args:
            since_ticks: only what was started from then on, by `ticks_now`; a tick is 10 ms on most systems.
        """
        self._kill_all(pid, worker, since_ticks)

    def reap(self, pid: int, worker: str) -> tuple[int, Any] | None:
        """As `platform.reap`; all that the worker has left behind is ended."""
        return platform.reap(pid, lambda: self._kill_all(pid, worker))

    def reap_killed(self) -> None:
        """Reap what was ended and has become this process's child."""
        for pid in list(self._killed):
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == pid:
                    self._killed.discard(pid)
            except ChildProcessError:
                if not _start_of(pid):  # gone; else it is still another's child
                    self._killed.discard(pid)

    def _kill_all(self, pid: int, worker: str, since_ticks: int = 0) -> None:
        if not offspring.IS_POSSIBLE:
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
        """The processes that carry this worker's mark, itself apart."""
        wanted = offspring.mark_of(worker)
        if self._own is None:
            return {other for other in _everyone() if other != pid and offspring.read_mark(other) == wanted}
        own, marks = self._own(), {pid: wanted}
        to_look_at = _children(pid) + [child for child in _children(os.getpid()) if child not in own]
        while to_look_at:
            other = to_look_at.pop()
            if other not in marks:
                marks[other] = offspring.read_mark(other)
                if marks[other] in (wanted, 0):  # what belongs to another worker has its mark
                    to_look_at += _children(other)
        return {other for other, mark in marks.items() if mark == wanted and other != pid}


def ticks_now() -> int:
    """The time since the system's start, in the ticks in which /proc says when a process was started."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return int(time.clock_gettime(clock) * os.sysconf("SC_CLK_TCK"))


def _signal(pid: int, start: bytes, number: int) -> None:
    """Signal a process unless its pid is another one's by now."""
    if start and _start_of(pid) == start:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            return  # it is gone, or has become another user


def _start_of(pid: int) -> bytes:
    """When a process started, in the system's ticks; b"" if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - as offspring.read_mark
            return stat.read().rpartition(b")")[2].split()[19]
    except (OSError, IndexError):
        return b""


def _everyone() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names are all that is wanted


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as _everyone
            with open(f"/proc/{pid}/task/{task}/children", "rb") as children:  # noqa: PTH123 - as offspring.read_mark
                found += map(int, children.read().split())
    except OSError:
        return found  # it is going
    return found


def _tells_children() -> bool:
    """Whether the kernel lists children (CONFIG_PROC_CHILDREN)."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110 - as offspring.read_mark
