"""The notes that handlers write to a named pipe: which worker runs which message, and what ran twice."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Ledger:
    """All notes so far. Monotonic seconds.

    Attributes:
        running: pid -> the message that it has started and not ended.
        started: message -> how often it has started.
        started_s: message -> its latest start.
        ended: the messages that have ended at least once.
        killed_s: pid -> when it was killed.
        recovered_s: from each kill to the next start of the message that it interrupted.
    """

    running: dict[int, str] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    killed_s: dict[int, float] = field(default_factory=dict)
    recovered_s: list[float] = field(default_factory=list)

    @property
    def unrecovered(self) -> bool:
        """Whether the message of a killed worker has not started again yet."""
        return any(pid in self.running for pid in self.killed_s)

    def note(self, what: str, message: str, pid: int, at_s: float) -> None:
        """Add a line. Lines of one process arrive in order, and before any line that its death causes."""
        if what == "end":
            self.ended.add(message)
            self.running.pop(pid, None)
            return
        for dead, killed_s in self.killed_s.items():
            if self.running.get(dead) == message:
                self.recovered_s.append(at_s - killed_s)
                del self.running[dead]
        self.running[pid] = message
        self.started[message] = self.started.get(message, 0) + 1
        self.started_s[message] = at_s


class Pipe:
    """The reading end of the named pipe."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        os.mkfifo(str(path))
        # Opened for writing, too: otherwise the pipe ends when the last worker closes it.
        self._descriptor = os.open(str(path), os.O_RDWR | os.O_NONBLOCK)
        self._rest = b""
        self._ledger = ledger

    def read(self, timeout_s: float) -> None:
        """Read new lines, for at most this time."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        if not poller.poll(max(0.0, timeout_s) * 1000):
            return
        *lines, self._rest = (self._rest + os.read(self._descriptor, 65536)).split(b"\n")
        for line in lines:
            what, message, pid, at = line.decode("ascii").split()
            self._ledger.note(what, message, int(pid), float(at))

    def close(self) -> None:
        os.close(self._descriptor)
