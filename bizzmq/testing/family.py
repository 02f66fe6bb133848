"""Finds and ends every process that a command has started, including daemons and other detached processes."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid

import psutil

from bizzmq.testing.wait import eventually

MARK_VARIABLE = "BIZZMQ_TEST_FAMILY"
_NOBODY = -1  # no session has this id; 0 is that of kernel threads


class Family:
    """The descendants of one process that leads a session and was started with `mark()` in its environment.

    A process belongs if it is in the session (also as a zombie) or carries the mark in the environment it was
    started with (also after setsid and when its parents have died).
    """

    def __init__(self) -> None:
        self._token = uuid.uuid4().hex
        self._leader_pid = _NOBODY

    def mark(self) -> dict[str, str]:
        """What to add to the leader's environment."""
        return {MARK_VARIABLE: self._token}

    def lead_by(self, pid: int) -> None:
        self._leader_pid = pid

    def owns(self, pid: int) -> bool:
        """Whether this process belongs; False if there is none."""
        with contextlib.suppress(psutil.Error, OSError):
            return os.getsid(pid) == self._leader_pid or (
                psutil.Process(pid).environ().get(MARK_VARIABLE) == self._token
            )
        return False

    def members(self) -> list[psutil.Process]:
        """All processes that exist now, including zombies and the leader."""
        return [process for process in psutil.process_iter() if self.owns(process.pid)]

    def living(self) -> list[psutil.Process]:
        """The members that are not zombies."""
        return [process for process in self.members() if is_living(process)]

    def zombies(self) -> list[psutil.Process]:
        """The zombies whose parent belongs to this family.

        An orphan is reaped by process 1; the pool has no influence on when that happens.
        """
        members = self.members()
        pids = {process.pid for process in members}
        return [process for process in members if not is_living(process) and _parent(process) in pids]

    def signal_all(self, number: int) -> None:
        """Send a signal to every member that lives."""
        for process in self.living():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Kill all at once, as the loss of a host does: no process gets time to react to the death of another."""
        self.signal_all(signal.SIGSTOP)
        self.signal_all(signal.SIGSTOP)  # again, for those that were forked during the first round
        # The leader last: when it dies, the kernel continues its stopped children, whose groups are orphaned.
        eventually(lambda: not self._kill_but(self._leader_pid), 10.0, self.describe)
        eventually(lambda: not self._kill_but(_NOBODY), 10.0, self.describe)
        self._leader_pid = _NOBODY  # the kernel may give this number to another session now

    def _kill_but(self, spared_pid: int) -> list[psutil.Process]:
        """Send SIGKILL to all but one; returns the processes that it was sent to."""
        victims = [process for process in self.living() if process.pid != spared_pid]
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return victims

    def describe(self) -> str:
        """One line for each member, for the text of an AssertionError."""
        lines = []
        for process in self.members():
            with contextlib.suppress(psutil.Error):
                lines.append(f"{process.pid} (parent {process.ppid()}, {process.status()}): {_command(process)}")
        return "no process of the pool to be left, but there are:\n" + "\n".join(lines)


def is_living(process: psutil.Process) -> bool:
    """Whether it exists and is not a zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return 0


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "?"
