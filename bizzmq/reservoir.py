"""Connections for several threads without a lock: whoever needs one takes an idle one, or makes one."""

from __future__ import annotations

import os
from collections import deque
from typing import Callable, Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Things that one user at a time may have, such as connections.

    No lock: a signal handler that interrupts a user gets another one instead of waiting for ever. A forked child
    finds the reservoir empty, since a connection must not be shared with its parent.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._idle: deque[T] = deque()
        self._pid = os.getpid()

    def take(self) -> T:
        """One that nobody else has; the last one given back, if there is one."""
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give_back(self, thing: T) -> None:
        self._idle.append(thing)

    def take_all(self) -> list[T]:
        """All idle ones; for closing them."""
        taken = []
        while self._idle:
            taken.append(self.take())
        return taken
