"""A lock that a forked child does not inherit in a locked state."""

from __future__ import annotations

import os
import threading


class ForkLock:
    """As threading.Lock in a `with` statement. In a forked child it is a new one: there, no other thread is left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self.__init__()  # type: ignore[misc]  # start over, as a new object would
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
