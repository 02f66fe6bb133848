"""Find and end every process that a command has started, whatever those did to hide."""

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
        """All that exist now, zombies and the leader included."""
        return [process for process in psutil.process_iter() if self.owns(process.pid)]

    def living(self) -> list[psutil.Process]:
        """Those that are not zombies."""
        return [process for process in self.members() if is_living(process)]

    def zombies(self) -> list[psutil.Process]:
        """Those that a parent of this family has not reaped.

        An orphan waits for process 1, and how soon that reaps is not the pool's doing.
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
        """End all at once, as the loss of a host does: none gets time to react to another's death."""
        self.signal_all(signal.SIGSTOP)
        self.signal_all(signal.SIGSTOP)  # again, for those that were forked during the first round
        # The leader last: when it dies, the kernel continues its stopped children, whose groups are orphaned.
        eventually(lambda: not self._kill_but(self._leader_pid), 10.0, self.describe)
        eventually(lambda: not self._kill_but(_NOBODY), 10.0, self.describe)
        self._leader_pid = _NOBODY  # the number may become another session's now

    def _kill_but(self, spared_pid: int) -> list[psutil.Process]:
        """Send SIGKILL to all but one; returns whom it was sent to."""
        victims = [process for process in self.living() if process.pid != spared_pid]
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return victims

    def describe(self) -> str:
        """One line for each member, for a failure's text."""
        lines = []
        for process in self.members():
            with contextlib.suppress(psutil.Error):
                lines.append(f"{process.pid} (parent {process.ppid()}, {process.status()}): {_command(process)}")
        return "no process of the pool to be left, but there are:\n" + "\n".join(lines)


def is_living(process: psutil.Process) -> bool:
    """Whether it exists and is no zombie."""
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
