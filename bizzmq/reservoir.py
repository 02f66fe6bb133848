"""Connections for several threads without a lock: whoever needs one takes an idle one, or makes one."""

from __future__ import annotations

import os
from collections import deque
from typing import Callable, Generic, TypeVar

from bizzmq.errors import ClosedError

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Things that one user at a time may have, such as connections.

    No lock: a signal handler that interrupts a user gets another one instead of waiting for ever. A forked child
    finds the reservoir empty, since a connection must not be shared with its parent.

    Args:
        make: makes one more.
        dispose: ends one, when the reservoir is closed.
    """

    def __init__(self, make: Callable[[], T], dispose: Callable[[T], None]) -> None:
        self._make = make
        self._dispose = dispose
        self._idle: deque[T] = deque()
        self._pid = os.getpid()
        self._closed = False

    def take(self) -> T:
        """One that nobody else has; the last one given back, if there is one. Raises ClosedError."""
        if self._closed:
            raise ClosedError("this client is closed; make a new one")
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give_back(self, thing: T) -> None:
        self._idle.append(thing)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Dispose of all idle ones now, and of each other one when it is given back. May be called again."""
        self._closed = True
        if self._pid != os.getpid():
            return  # they are the parent's
        while True:
            try:
                thing = self._idle.pop()
            except IndexError:
                return
            self._dispose(thing)
