"""A request to stop that a signal handler or another thread can make and a poll can wait for."""

from __future__ import annotations

import os
import select


class Stop:
    """Set once; readable as a descriptor from then on, so that no wait misses it."""

    def __init__(self) -> None:
        self.requested = False
        self._read, self._write = os.pipe()
        self._open = [self._read, self._write]
        for descriptor in (self._read, self._write):
            os.set_blocking(descriptor, False)

    def request(self) -> None:
        """Ask for the stop. Safe in a signal handler, and any number of times."""
        self.requested = True
        self.nudge()

    def nudge(self) -> None:
        """Wake whoever waits."""
        try:
            os.write(self._write, b".")
        except OSError:
            return  # full: whoever waits wakes anyway; or closed: nobody waits

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._read

    @property
    def wakeup_descriptor(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`."""
        return self._write

    def wait(self, timeout_s: float, *others: int) -> None:
        """Wait for the request, for another descriptor to become readable, or for so many seconds."""
        if self.requested:
            return
        poller = select.poll()
        for descriptor in (self._read, *others):
            poller.register(descriptor, select.POLLIN)
        poller.poll(max(0.0, timeout_s) * 1000)
        self.clear()

    def clear(self) -> None:
        """Forget nudges, but not a request."""
        if not self.requested:
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                return  # there was none

    def close(self) -> None:
        """Close both descriptors; a later request is noted, but wakes nobody. May be called twice."""
        self._read = self._write = -1
        while True:
            try:
                os.close(self._open.pop())  # popped once, whoever else closes at the same time
            except IndexError:
                return
