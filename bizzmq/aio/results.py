"""Waiting for results with asyncio. The counterpart of `bizzmq.results.reader` and `bizzmq.results.endings`."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Hashable, List, Sequence

from bizzmq.aio.factory import AnyAsyncConnection
from bizzmq.aio.pool import AsyncPool, LoopPools
from bizzmq.connection.cluster.slots import slot_of
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.retry import Outage
from bizzmq.errors import BizzMQError, BrokerReplyError, BrokerUnavailableError, BrokerUnusableError
from bizzmq.results.awaited import Awaited, Resolution, value_of
from bizzmq.results.reader import LIMIT, PASSING
from bizzmq.results.result_client import checked_id, checked_queue, checked_timeout
from bizzmq.results.wait import FIRST_S, SLICE_S, Command, Look, ResultWait, keys_of, read_command
from bizzmq.utils import clock

_logger = logging.getLogger("bizzmq.client")


class AsyncResultReader:
    """The connections of one wait."""

    idle_since_s = 0.0

    def __init__(self, connect: Callable[[], AnyAsyncConnection]) -> None:
        self._connect = connect
        first = connect()
        self._spans_nodes = first.spans_nodes
        self._connections: Dict[Hashable, AnyAsyncConnection] = {"": first}

    def group_of(self, key: bytes) -> Hashable:
        """The group of a key: one command reads the keys of a group."""
        return slot_of(key) if self._spans_nodes else ""

    def lines(self, wait: ResultWait) -> List[AsyncLine]:
        """A connection for each group of a wait."""
        for group in wait.groups:
            if group not in self._connections:
                self._connections[group] = self._connect()
        return [AsyncLine(self._connections[group], wait, group, self.group_of) for group in wait.groups]

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.drop()


class AsyncLine:
    """One connection that waits for the results of one group."""

    def __init__(
        self,
        connection: AnyAsyncConnection,
        wait: ResultWait,
        group: Hashable,
        group_of: Callable[[bytes], Hashable],
    ) -> None:
        self._connection, self._wait, self._group, self._group_of = connection, wait, group, group_of
        self._outage = Outage(_logger, "waiting for results")
        self._slice_s = FIRST_S
        self._look_at_s = clock.monotonic() + SLICE_S

    @property
    def is_waiting(self) -> bool:
        """Whether a result of the group is missing."""
        return self._group in self._wait.groups

    async def round(self, until_s: float) -> None:
        """Wait for the first results, or until it is time to look for missing ones; then take all that are there."""
        block_s = max(0.001, min(self._slice_s, until_s - clock.monotonic(), self._connection.longest_block_s))
        before = len(self._wait.resolved)
        try:
            await self._read(self._wait.blocking(self._group, block_s), block_s)
            is_quiet = len(self._wait.resolved) == before
            for command in self._wait.rest(self._group):
                await self._read(command)
            if is_quiet or clock.monotonic() >= self._look_at_s:
                await self._look()
                self._slice_s, self._look_at_s = self._wait.slice_s(), clock.monotonic() + SLICE_S
            self._outage.over()
        except (CommandRefusedError, BrokerUnusableError):
            raise
        except PASSING as error:
            self._connection.drop()
            await asyncio.sleep(max(0.0, min(self._outage.failed(error), until_s - clock.monotonic())))

    async def _look(self) -> None:
        look = Look(self._wait, self._wait.unresolved(self._group))
        for part in look.parts(self._group_of):
            for (awaited, _), reply in zip(part, await self._replies([command for _, command in part])):
                look.take(awaited, reply)
        missing = look.missing()
        for command in look.again(missing, self._group_of):
            await self._read(command)
        for awaited in missing:
            look.end(awaited)

    async def _replies(self, commands: List[Command]) -> List[Any]:
        connection = await self._connection.at(str(commands[0][1]))
        try:
            return await connection.execute_all(*commands)
        except CommandRefusedError:  # this user may not read messages
            return await connection.execute_all(*[("HEXISTS", *command[1:]) for command in commands])

    async def _read(self, command: Command, wait_s: float = 0.0) -> None:
        keys = keys_of(command)
        try:
            connection = await self._connection.at(keys[0].decode("ascii", "replace"))
            self._wait.take(await connection.execute(*command, wait_s=wait_s))
        except BrokerReplyError as error:
            if "WRONGTYPE" not in str(error):
                raise
            if len(keys) == 1:
                self._wait.refused(keys[0], error)
                return
            middle = len(keys) // 2
            await self._read(read_command(keys[:middle]))
            await self._read(read_command(keys[middle:]))


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
            while True:
                found, wait.resolved = wait.resolved, []
                for one in found:
                    yield one
                waiting = [line for line in lines if line.is_waiting]
                if not waiting:
                    return
                if clock.monotonic() >= until_s:
                    raise TimeoutError(f"no result within {timeout_s:g} s")
                await self.prepare()
                await _one_of([line.round(until_s) for line in waiting])

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


async def _one_of(rounds: Sequence[Awaitable[None]]) -> None:
    """Run rounds until one of them is over; the others are cancelled, which closes their connections."""
    if len(rounds) == 1:
        await rounds[0]
        return
    tasks = [asyncio.ensure_future(one) for one in rounds]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome


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
