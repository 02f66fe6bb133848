"""Waiting for results with asyncio. The counterpart of `bizzmq.results.reader` and `bizzmq.results.endings`."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Hashable, List, Sequence

from bizzmq.aio.connection.base import AsyncConnection
from bizzmq.aio.connection.factory import AnyAsyncConnection
from bizzmq.aio.connection.subscription import AsyncSubscription
from bizzmq.aio.pool import AsyncPool, LoopPools
from bizzmq.aio.result_line import AsyncLine
from bizzmq.connection.cluster.slots import slot_of
from bizzmq.errors import BizzMQError, BrokerUnavailableError
from bizzmq.results.awaited import Awaited, Resolution, value_of
from bizzmq.results.reader import LIMIT
from bizzmq.results.result_client import checked_id, checked_queue, checked_timeout
from bizzmq.results.wait import ResultWait
from bizzmq.utils import clock


class AsyncResultReader:
    """The connections of one wait: one for commands and one for notices, in a cluster to each node."""

    idle_since_s = 0.0

    def __init__(self, connect: Callable[[], AnyAsyncConnection]) -> None:
        self._commands, self._notices = connect(), connect()
        self._subscriptions: Dict[AsyncConnection, AsyncSubscription] = {}

    def group_of(self, key: bytes) -> Hashable:
        """The group of a key: one command reads the keys of a group."""
        return slot_of(key) if self._commands.spans_nodes else ""

    def lines(self, wait: ResultWait) -> List[AsyncLine]:
        """A line for each group of a wait."""
        return [AsyncLine(self._commands, self._subscription_of, wait, group, self.group_of) for group in wait.groups]

    async def _subscription_of(self, key: bytes) -> AsyncSubscription:
        connection = await self._notices.at(key.decode("ascii", "replace"))
        found = self._subscriptions.get(connection)
        if found is None:
            found = self._subscriptions[connection] = AsyncSubscription(connection)
        return found

    def close(self) -> None:
        """Close all connections."""
        self._commands.drop()
        self._notices.drop()


class AsyncResultReaders:
    """Lends the connections of a client that wait for results.

    Args:
        prepare: raises ClosedError if the client is closed, and starts an embedded server.
        connect: makes a connection.
        read_shards: returns the names of a queue's shards.
    """

    _SHARDS_S = 60.0

    def __init__(
        self,
        prepare: Callable[[], Awaitable[None]],
        connect: Callable[[], AnyAsyncConnection],
        read_shards: Callable[[str], Awaitable[List[str]]],
    ) -> None:
        self._pools = LoopPools(lambda: AsyncPool(lambda: AsyncResultReader(connect), limit=LIMIT))
        self._read_shards = read_shards
        self._shards: Dict[str, tuple[float, List[str]]] = {}
        self.prepare = prepare

    async def shards_of(self, queue: str) -> List[str]:
        """The names of a queue's shards, read once a minute."""
        read_s, shards = self._shards.get(queue, (-math.inf, []))
        if clock.monotonic() - read_s > self._SHARDS_S:
            try:
                shards = await self._read_shards(queue)
            except BrokerUnavailableError:
                if not shards:
                    raise
            self._shards[queue] = (clock.monotonic(), shards)
        return shards

    async def endings(self, awaited: Sequence[Awaited], timeout_s: float | None = None) -> AsyncIterator[Awaited]:
        """The messages in the order in which they end. Raises as `bizzmq.results.endings.endings`."""
        until_s = math.inf if timeout_s is None else clock.monotonic() + timeout_s
        async with self._lent() as reader:
            wait = ResultWait(awaited, reader.group_of)
            lines = reader.lines(wait)
            is_late = False
            try:
                while True:
                    found, wait.resolved = wait.resolved, []
                    for one in found:
                        yield one
                    waiting = [line for line in lines if line.is_waiting]
                    if not waiting:
                        return
                    if is_late:
                        raise TimeoutError(f"no result within {timeout_s:g} s")
                    is_late = await self._step(waiting, until_s)
            finally:
                for line in lines:
                    line.end()

    async def _step(self, waiting: Sequence[AsyncLine], until_s: float) -> bool:
        """As `_Run.step` of `bizzmq.results.endings`."""
        await self.prepare()
        await _arrival(waiting, until_s)
        for line in waiting:
            await line.step()
        is_late = clock.monotonic() >= until_s
        for line in waiting if is_late else ():
            if line.is_waiting:
                await line.read_since(until_s)
        return is_late

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[AsyncResultReader]:
        await self.prepare()
        pool = self._pools.here()
        reader = await pool.acquire()
        try:
            yield reader
        except (BizzMQError, TimeoutError, asyncio.CancelledError, GeneratorExit):
            pool.release(reader)  # a connection on which a reply is due is closed by then
            raise
        except BaseException:
            pool.discard(reader)
            raise
        pool.release(reader)

    def close(self) -> None:
        """Close all connections; those in use are closed when they are given back."""
        self._pools.close()


async def _arrival(waiting: Sequence[AsyncLine], until_s: float) -> None:
    """Wait until a line has a notice, or something to do."""
    limit_s = min([until_s, *(line.due_s for line in waiting)]) - clock.monotonic()
    connections = list(dict.fromkeys(line.subscription.connection for line in waiting if line.subscription is not None))
    if limit_s <= 0 or any(connection.has_arrived() for connection in connections):
        return
    if len(connections) == 1:
        await connections[0].arrival(limit_s)
        return
    waits = [asyncio.ensure_future(connection.arrival(limit_s)) for connection in connections]
    try:
        await asyncio.wait(
            waits or [asyncio.ensure_future(asyncio.sleep(limit_s))], return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def ending_of(readers: AsyncResultReaders, awaited: Awaited, timeout_s: float | None) -> Resolution:
    """What has become of one message. Raises as `AsyncResultReaders.endings`."""
    if awaited.resolution is None:
        found = readers.endings([awaited], timeout_s)
        try:
            await found.__anext__()
        finally:
            await found.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert awaited.resolution is not None
    return awaited.resolution


class AsyncResultClient:
    """What an async client does with the results of messages."""

    _result_readers: AsyncResultReaders

    async def result(self, queue_name: str, message_id: str, timeout_s: float | timedelta | None = None) -> Any:
        """As BizzMQ.result. Another task may cancel it at any moment."""
        limit_s, queue, one = checked_timeout(timeout_s), checked_queue(queue_name), checked_id(message_id)
        return value_of(one, await self._ending_of(queue, one, limit_s))

    async def _ending_of(
        self, queue: str, message_id: str, timeout_s: float | None, *, keeps_result: bool | None = None
    ) -> Resolution:
        """What has become of a message."""
        awaited = await self._awaited(queue, message_id, keeps_result=keeps_result)
        return await ending_of(self._result_readers, awaited, timeout_s)

    async def _awaited(self, queue: str, message_id: str, *, keeps_result: bool | None) -> Awaited:
        """The wait for a message."""
        await self._result_readers.prepare()
        shards = [queue] if keeps_result is False else await self._result_readers.shards_of(queue)
        return Awaited(message_id, shards, keeps_result=keeps_result)
