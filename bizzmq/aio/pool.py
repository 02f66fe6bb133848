"""A pool of objects, such as connections, for the tasks of one event loop: a task takes one, makes one, or waits."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque
from typing import Any, Callable, Generic, Protocol, TypeVar

from bizzmq.errors import BizzMQError, ClosedError, ConnectionLimitError
from bizzmq.utils import clock
from bizzmq.utils.forks import renew_in_children
from bizzmq.utils.object_pool import IDLE_S, LIMIT, PATIENCE_S


class Reusable(Protocol):
    """An object for one task at a time."""

    idle_since_s: float

    def close(self) -> None: ...


T = TypeVar("T", bound=Reusable)


class AsyncPool(Generic[T]):
    """A pool of objects for one task at a time. The tasks that wait get objects in the order in which they came.

    Args:
        make: makes an object; it does not wait.
        limit: the most objects that exist at the same time.
        patience_s: for how long no object may become free before the tasks that wait for that long fail, seconds.
        idle_s: after how many idle seconds an object is closed.
    """

    def __init__(
        self, make: Callable[[], T], *, limit: int = LIMIT, patience_s: float = PATIENCE_S, idle_s: float = IDLE_S
    ) -> None:
        self._make = make
        self._limit = limit
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._idle: deque[T] = deque()
        self._waiting: deque[_Waiter[T]] = deque()
        self._items: weakref.WeakSet[T] = weakref.WeakSet()  # one that an interrupt has lost does not count
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_since_s = 0.0

    async def acquire(self) -> T:
        """An object that no other task uses: the one released last, if there is one.

        Raises:
            ConnectionLimitError: all objects are in use, and none became free in time.
            ClosedError: the pool is closed.
        """
        if self._is_closed:
            raise _closed()
        if self._idle:
            return self._idle.pop()
        if len(self._items) < self._limit:
            return self._new()
        return await self._wait()

    def release(self, item: T) -> None:
        """Make an object available to others."""
        if self._is_closed:
            item.close()
        elif not self._hand_over(item):
            item.idle_since_s = clock.monotonic()
            self._idle.append(item)
            if len(self._idle) > 1:
                self._close_old(item.idle_since_s)

    def discard(self, item: T) -> None:
        """Close an object in an unknown state; it is not used again."""
        item.close()
        self._items.discard(item)
        if self._waiting and not self._is_closed:
            self.release(self._new())

    def close(self) -> None:
        """Close all idle objects now, and the others when they are released. May be called again."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()
        while self._waiting:
            self._waiting.popleft().end(_closed())
        if self._timer is not None:
            self._timer.cancel()

    async def _wait(self) -> T:
        loop = asyncio.get_running_loop()
        waiter: _Waiter[T] = _Waiter(loop)
        self._waiting.append(waiter)
        if self._timer is None:
            self._quiet_since_s = waiter.since_s
            self._timer = loop.call_at(waiter.since_s + self._patience_s, self._give_up)
        try:
            found = await waiter.future
        except BaseException:
            if waiter.item is not None:
                self.release(waiter.item)  # it was handed over, and the task was cancelled before it knew
            raise
        if isinstance(found, BizzMQError):
            raise found
        return found

    def _hand_over(self, item: T) -> bool:
        """Give an object to the task that waits longest; False if no task waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.serve(item):
                self._quiet_since_s = waiter.loop.time()
                return True
        return False

    def _give_up(self) -> None:
        """Fail the tasks that have waited long enough, if no object was handed over in that time."""
        self._timer = None
        while self._waiting and self._waiting[0].future.done():
            self._waiting.popleft()
        if not self._waiting:
            return
        loop = self._waiting[0].loop
        now_s = loop.time()
        if now_s >= self._quiet_since_s + self._patience_s:
            gc.collect()  # a lost object may be part of a reference cycle
            if len(self._items) < self._limit:
                self._hand_over(self._new())
        if now_s >= self._quiet_since_s + self._patience_s:
            while self._waiting and now_s >= self._waiting[0].since_s + self._patience_s:
                self._waiting.popleft().end(ConnectionLimitError(self._limit, self._patience_s))
        since_s = max(self._quiet_since_s, self._waiting[0].since_s) if self._waiting else now_s
        self._timer = loop.call_at(since_s + self._patience_s, self._give_up)

    def _new(self) -> T:
        item = self._make()
        self._items.add(item)
        return item

    def _close_old(self, now_s: float) -> None:
        """Close the object that has been idle longest, if that is too long."""
        oldest = self._idle[0]
        if oldest.idle_since_s < now_s - self._idle_s:
            self._items.discard(oldest)
            self._idle.popleft().close()


class _Waiter(Generic[T]):
    """A task that waits for an object.

    Attributes:
        since_s: when it began to wait, by the clock of the loop.
        item: the object that it got; None before.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.since_s = loop.time()
        self.future: asyncio.Future[T | BizzMQError] = loop.create_future()
        self.item: T | None = None

    def serve(self, item: T) -> bool:
        """Give the task an object; False if it no longer waits."""
        if self.future.done():
            return False
        self.item = item
        self.future.set_result(item)
        return True

    def end(self, error: BizzMQError) -> None:
        """Raise an error in the task, if it still waits."""
        if not self.future.done() and not self.loop.is_closed():
            self.future.set_result(error)


class LoopPools(Generic[T]):
    """A pool for each event loop that uses them. A forked child starts without pools.

    Args:
        make: makes a pool.
    """

    def __init__(self, make: Callable[[], AsyncPool[T]]) -> None:
        self._make = make
        self._pools: dict[asyncio.AbstractEventLoop, AsyncPool[T]] = {}
        renew_in_children(self)

    def forget(self) -> None:
        """Start again without pools."""
        self._pools = {}

    def here(self) -> AsyncPool[T]:
        """The pool of the running event loop. The pools of loops that have been closed are closed, too."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for other in [one for one in list(self._pools) if one.is_closed()]:
                _close_in(other, self._pools.pop(other, None))
            pool = self._pools[loop] = self._make()
        return pool

    def close(self) -> None:
        """Close all pools."""
        while self._pools:
            _close_in(*self._pools.popitem())


def _close_in(loop: asyncio.AbstractEventLoop, pool: AsyncPool[Any] | None) -> None:
    """Close a pool, which may belong to the event loop of another thread, or to one that has ended."""
    if pool is None:
        return  # another thread has closed it
    if loop is asyncio.get_running_loop() or loop.is_closed():
        pool.close()
        return
    try:
        loop.call_soon_threadsafe(pool.close)
    except RuntimeError:
        pool.close()  # it has ended in the meantime


def _closed() -> ClosedError:
    return ClosedError("this client is closed; make a new one")
