"""A request to stop, which a signal handler or another thread can make and a poll can wait for."""

from __future__ import annotations

import os

from bizzmq.utils import readiness


class StopEvent:
    """An event that is set once. From then on its descriptor is readable, so that no poll misses it.

    Attributes:
        requested: whether the stop was requested.
    """

    def __init__(self) -> None:
        self.requested = False
        self._read, self._write = os.pipe()
        self._open = [self._read, self._write]
        for descriptor in (self._read, self._write):
            os.set_blocking(descriptor, False)

    def request(self) -> None:
        """Request the stop. Safe in a signal handler; may be called again."""
        self.requested = True
        self.wake()

    def wake(self) -> None:
        """Wake a thread that waits."""
        try:
            readiness.write(self._write, b".")
        except OSError:
            return  # the pipe is full, so the thread wakes anyway, or closed, so no thread waits

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._read

    @property
    def wakeup_descriptor(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`."""
        return self._write

    def wait(self, timeout_s: float, *others: int) -> None:
        """Wait for the request, for another descriptor to become readable, or for `timeout_s` seconds."""
        if self.requested:
            return
        if self._read in readiness.readable(timeout_s, self._read, *others):
            self.clear()

    def clear(self) -> bytes:
        """Discard earlier wake-ups, but not a request; returns what was written: numbers of signals, or dots."""
        if not self.requested and readiness.readable(0.0, self._read):  # eventlet's read would wait
            try:
                return readiness.read(self._read, 4096)
            except BlockingIOError:
                pass  # another thread was faster
        return b""

    def close(self) -> None:
        """Close both descriptors. A later request is recorded but wakes no thread. May be called again."""
        self._read = self._write = -1
        while True:
            try:
                os.close(self._open.pop())  # `pop` is atomic: each descriptor is closed once
            except IndexError:
                return
