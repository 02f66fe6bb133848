"""A line of an event loop: how a wait learns the results of one group. The counterpart of `bizzmq.results.line`."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Any, Awaitable, Callable, Hashable, Iterator, List

from bizzmq.aio.connection.factory import AnyAsyncConnection
from bizzmq.aio.connection.subscription import AsyncSubscription
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.retry import Outage
from bizzmq.errors import BrokerUnusableError, WrongTypeError
from bizzmq.results.line import PASSING
from bizzmq.results.wait import FIRST_S, POLL_S, SLICE_S, Command, Look, ResultWait
from bizzmq.utils import clock
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.client")


class AsyncLine:
    """As `bizzmq.results.line.Line`."""

    def __init__(
        self,
        commands: AnyAsyncConnection,
        subscription_of: Callable[[bytes], Awaitable[AsyncSubscription]],
        wait: ResultWait,
        group: Hashable,
        group_of: Callable[[bytes], Hashable],
    ) -> None:
        self._commands, self._subscription_of = commands, subscription_of
        self._wait, self._group, self._group_of = wait, group, group_of
        self._outage = Outage(_logger, "waiting for results")
        self.subscription: AsyncSubscription | None = None
        self._has_begun = self._polls = False
        self.due_s = self._look_s = self._read_s = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether a result of the group is missing."""
        return self._group in self._wait.groups

    async def step(self) -> None:
        """Take the notices that have come, and look for results if it is time to."""
        if not self.is_waiting:
            return  # another line has brought the rest
        with self._retried():
            if not self._has_begun:
                if clock.monotonic() >= self.due_s:
                    await self._begin()
                return
            await self._take_notices()
            now_s = clock.monotonic()
            if now_s >= self.due_s and self.is_waiting:
                if self.subscription is not None:
                    await self.subscription.check(self._wait.note)
                await self._read_all()
                if now_s >= self._look_s:
                    await self._look()
                    self._look_s = now_s + min(SLICE_S, self._commands.longest_block_s)
                self.due_s = min(self._look_s, now_s + POLL_S) if self._polls else self._look_s

    async def read_since(self, ended_s: float) -> None:
        """Read the results, unless they have been read since the wait ended: a notice may be missing."""
        with self._retried():
            if self._has_begun and self._read_s < ended_s:
                await self._read_all()

    async def _begin(self) -> None:
        try:
            await self._subscribe_and_read()
        except CommandRefusedError as error:  # this user may not subscribe
            log(_logger, logging.WARNING, "results are polled for", error=str(error))
            self._polls = True
            await self._read_all()
        self._has_begun = True
        self.due_s = self._look_s = clock.monotonic() + FIRST_S

    async def _subscribe_and_read(self) -> None:
        parts, begun_s = self._wait.parts(self._group), clock.monotonic()
        key = parts[0][0]
        subscription = await self._subscription_of(key)
        try:
            if len(parts[0]) > 1:
                raise LookupError
            self._wait.take([key], [await subscription.begin_and_read(key, self._wait.note)])
            self._read_s = begun_s
        except LookupError:
            for channels in parts:
                await subscription.begin(channels, self._wait.note)
            await self._read_all()
        self.subscription = subscription

    async def _take_notices(self) -> None:
        if self.subscription is not None:
            await self.subscription.take(self._wait.note)
        unread, self._wait.unread = self._wait.unread, []
        for key in unread:
            await self._read([key])

    async def _read_all(self) -> None:
        self._read_s = clock.monotonic()
        for keys in self._wait.parts(self._group):
            await self._read(keys)

    async def _read(self, keys: List[bytes]) -> None:
        connection = await self._commands.at(keys[0].decode("ascii", "replace"))
        self._wait.take(keys, await connection.execute("MGET", *keys))

    async def _look(self) -> None:
        look = Look(self._wait, self._wait.unresolved(self._group))
        for part in look.parts(self._group_of):
            for (awaited, _), reply in zip(part, await self._replies([command for _, command in part])):
                look.take(awaited, reply)
        for awaited in look.missing():
            for key in awaited.places:
                await self._read_one(key)
            look.end(awaited)

    async def _read_one(self, key: bytes) -> None:
        try:
            connection = await self._commands.at(key.decode("ascii", "replace"))
            self._wait.take([key], [await connection.execute("GET", key)])
        except WrongTypeError as error:
            self._wait.refused(key, error)

    async def _replies(self, commands: List[Command]) -> List[Any]:
        connection = await self._commands.at(str(commands[0][1]))
        try:
            return await connection.execute_all(*commands)
        except CommandRefusedError:  # this user may not read messages
            return await connection.execute_all(*[("HEXISTS", *command[1:]) for command in commands])

    @contextmanager
    def _retried(self) -> Iterator[None]:
        """After a failure that may pass, the connections are opened again later. Others are raised."""
        try:
            yield
            self._outage.over()
        except (CommandRefusedError, BrokerUnusableError):
            self._drop()
            raise
        except PASSING as error:
            self._drop()
            self.due_s = clock.monotonic() + self._outage.failed(error)

    def end(self) -> None:
        """The wait is over."""
        if self.subscription is not None:
            self.subscription.end()

    def _drop(self) -> None:
        if self.subscription is not None:
            self.subscription.connection.drop()
        self.subscription, self._has_begun, self._polls = None, False, False
        self._commands.drop()
