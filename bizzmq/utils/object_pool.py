"""A pool of objects, such as connections, for several threads: a thread takes an idle one, creates one, or waits.

No lock can be left locked by an interrupted thread. The pool does not refer to an object that is in use; its user
releases it if all went well. An interrupted user does not release it, so that nobody gets an object in an unknown
state. The existing objects are counted each time through weak references.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import deque
from types import CodeType, FrameType
from typing import Any, Callable, Collection, Generic, MutableSequence, Protocol, TypeVar

from bizzmq.errors import ClosedError, ConnectionLimitError
from bizzmq.utils import clock
from bizzmq.utils.forks import renew_in_children

LIMIT = 10
"""The most objects that exist at the same time."""
PATIENCE_S = 10.0
"""How long to wait for an object that is in use, seconds."""
IDLE_S = 60.0
"""An object that was idle for this time, seconds, is closed when another one is released."""
_RECOUNT_S = 0.25
"""How often to check whether an object was lost, because its user was interrupted, seconds."""


class PoolEntry:
    """Represents one object of the pool, and exists as long as the object."""

    __slots__ = ("__weakref__", "idle_since_s", "is_lost")

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self.is_lost = False


class Reusable(Protocol):
    """An object for one user at a time."""

    pool_entry: PoolEntry

    def close(self) -> None: ...


T = TypeVar("T", bound=Reusable)


class ObjectPool(Generic[T]):
    """A pool of objects for one user at a time, such as connections. A forked child starts with an empty pool.

    Args:
        make: creates an object.
        users: the code objects of all functions that acquire objects. A nested call of them in the same thread, for
            example in a signal handler, does not wait, because the outer call cannot release its object.
        limit: the most objects that exist at the same time, not counting those of nested calls.
        patience_s: how long `acquire` waits, seconds.
        idle_s: after how many idle seconds an object is closed.
    """

    def __init__(
        self,
        make: Callable[[], T],
        users: Collection[CodeType] = (),
        *,
        limit: int = LIMIT,
        patience_s: float = PATIENCE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._make = make
        self._users = users
        self._limit = limit
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._closed = False
        self.forget()
        renew_in_children(self)

    def forget(self) -> None:
        """Start again with an empty pool."""
        self._idle: deque[T] = deque()
        self._entries: list[weakref.ref[PoolEntry]] = []
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self) -> T:
        """An object that nobody else uses: the one released last, if there is one.

        Raises:
            ConnectionLimitError: all objects are in use, and none was released in time.
            ClosedError: the pool is closed.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return self._make_or_wait()

    def release(self, item: T) -> None:
        """Make an object available to others."""
        self._idle.append(item)
        if self._closed:
            self.close()
        elif self._waiting or len(self._idle) > 1:
            self._tidy(item)

    def discard(self, item: T) -> None:
        """Close an object whose user was interrupted; it is not used again."""
        item.pool_entry.is_lost = True
        item.close()

    def close(self) -> None:
        """Close all idle objects now, and the others when they are released. May be called again."""
        self._closed = True
        while True:
            try:
                item = self._idle.pop()
            except IndexError:
                return
            item.close()

    def _make_or_wait(self) -> T:
        give_up_s = clock.monotonic() + self._patience_s
        while True:
            if self._closed:
                raise ClosedError("this client is closed; make a new one")
            item = self._try_to_make()
            if item is None:
                item = self._wait(min(_RECOUNT_S, give_up_s - clock.monotonic()))
            if item is not None:
                return item
            if clock.monotonic() >= give_up_s:
                gc.collect()  # a lost object may be part of a reference cycle
                if self._count() < self._limit:
                    continue
                raise ConnectionLimitError(self._limit, self._patience_s)

    def _try_to_make(self) -> T | None:
        """A new object, if the limit allows it. If two threads try at once, both may fail and try again."""
        entry = PoolEntry()
        self._entries.append(weakref.ref(entry))
        if self._count() > self._limit and not self._is_nested():
            return None
        item = self._make()
        item.pool_entry = entry
        return item

    def _count(self) -> int:
        """The number of objects, including those that are being created."""
        count = 0
        for reference in list(self._entries):
            entry = reference()
            if entry is not None and not entry.is_lost:
                count += 1
            else:
                _remove(self._entries, reference)
        return count

    def _is_nested(self) -> bool:
        """Whether this thread already has an object: one of the users appears twice in its stack."""
        count = 0
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - no public name
        while frame is not None and count < 2:
            count += frame.f_code in self._users
            frame = frame.f_back
        return count > 1

    def _wait(self, timeout_s: float) -> T | None:
        """An object that is released within this time; None if there is none."""
        turn = threading.Lock()
        turn.acquire()
        self._waiting.append(turn)
        try:
            if not self._idle:
                turn.acquire(timeout=max(0.0, timeout_s))
            return self._idle.pop()
        except IndexError:
            return None
        finally:
            _remove(self._waiting, turn)

    def _tidy(self, item: T) -> None:
        """Wake the next waiting thread; without one, close an object that has been idle for long."""
        try:
            self._waiting.popleft().release()
        except IndexError:
            self._close_old(item)

    def _close_old(self, item: T) -> None:
        now_s = item.pool_entry.idle_since_s = clock.monotonic()
        try:
            oldest = self._idle.popleft()
        except IndexError:
            return  # another thread has acquired it in the meantime
        if oldest is not item and 0 < oldest.pool_entry.idle_since_s < now_s - self._idle_s:
            oldest.close()
            return
        oldest.pool_entry.idle_since_s = oldest.pool_entry.idle_since_s or now_s
        self._idle.appendleft(oldest)
        if self._closed:  # in the meantime, by a thread that could not see this object
            self.close()


def _remove(items: MutableSequence[Any], item: object) -> None:
    try:
        items.remove(item)
    except ValueError:
        return  # another thread was faster
