"""The publisher of an event loop: numbered requests that are safe to repeat, as `bizzmq.publisher` makes them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Any, Awaitable, Callable, Iterable, Sequence, TypeVar

from bizzmq.aio.broker import AsyncBroker
from bizzmq.aio.checked_publisher import CheckedAsyncPublisher
from bizzmq.broker.checked_publish import LengthLimitedError, Terms
from bizzmq.connection.error_mapping import CommandRefusedError, SlotMovedError
from bizzmq.connection.retry import Outage
from bizzmq.errors import (
    BizzMQError,
    BrokerReplyError,
    BrokerUnavailableError,
    NotConfirmedError,
    QueueNotFoundError,
)
from bizzmq.message import MessageOptions
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES, encode_body, encode_header
from bizzmq.protocol.sealing import Sealer
from bizzmq.publisher import confirms
from bizzmq.publisher.checked import PublishedIds, needs_checks, terms_of, unique_keys
from bizzmq.publisher.conversion import Encode
from bizzmq.publisher.pipeline import MAX_IN_FLIGHT, Request
from bizzmq.publisher.publisher import RETRY_FOR_S
from bizzmq.publisher.requests import Patience, parts_of
from bizzmq.utils import clock
from bizzmq.utils.forks import renew_in_children

T = TypeVar("T")
_ENCODED_AT_ONCE = 500
"""How many messages are encoded before other tasks get their turn."""
_logger = logging.getLogger("bizzmq.publisher")


class AsyncPublisher(CheckedAsyncPublisher):
    """As `bizzmq.publisher.publisher.Publisher`, for one task at a time. A cancellation at any point is safe.

    Attributes:
        broker: the publisher's broker; it can be used for other commands between two publishes.
        idle_since_s: set by the pool.
    """

    idle_since_s = 0.0

    def __init__(
        self,
        broker: AsyncBroker,
        server_clock: clock.ServerClock,
        *,
        sealer: Sealer | None = None,
        encode: Encode | None = None,
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        super().__init__(server_clock, limit_bytes=MAX_PAYLOAD_BYTES, sealer=sealer, encode=encode)
        self.broker = broker
        self._retry_for_s = retry_for_s
        broker.connection.on_open = self._clock.invalidate
        renew_in_children(self)

    def close(self) -> None:
        """Close the connection; publishing again opens a new one."""
        self.broker.connection.drop()

    async def publish(
        self, queue: str, bodies: Iterable[Any], options: MessageOptions, published: list[str],
        task: str = "", version: int = 1,
    ) -> list[str]:  # fmt: skip
        """Publish messages in order; returns their ids in order. See Publisher.publish.

        Raises:
            CancelledError: the messages of the two requests in flight may be published, too. As each error, it has the
                ids of the messages that are known to be stored as `published_ids`.
        """
        try:
            await self._publish(queue, bodies, options, published, encode_header(options, task, version))
        except BaseException as error:
            self._note_failure(queue, error, published)
            raise
        return published

    async def _publish(
        self, queue: str, bodies: Iterable[Any], options: MessageOptions, published: list[str], header: bytes
    ) -> None:
        self.broker.keys(queue)  # an invalid name is reported before anything else
        is_checked = needs_checks(options) or queue in self._limited
        if is_checked and callable(options.unique_key):
            bodies = list(bodies)
        envelopes = await self._envelopes(bodies, header)
        level = confirms.level_of(options.confirm) if options.confirm else None
        if level is not None and level not in self._confirmable:
            await self._until_done(lambda: self._check_confirm(queue, level))
            self._note_confirmable(level)
        if not envelopes:
            return
        shards = self._shards.get(queue) or await self._read_shards(queue)
        if self._clock.is_due():
            await self._until_done(self._read_time)
        send = _Send(options.priority, options.delay_ms(self._clock.micros()) if options.delay_s else 0, level)
        if is_checked:
            keys = unique_keys(queue, options, bodies, len(envelopes))
            await self._publish_checked(queue, keys, envelopes, terms_of(options, send.delay_ms), level, published)
            return
        try:
            await self._publish_plain(queue, shards, envelopes, send, published)
        except LengthLimitedError:
            self._limited.add(queue)
            await self._publish_checked(queue, (), envelopes, terms_of(options, send.delay_ms), level, published)

    async def _publish_plain(
        self, queue: str, shards: Sequence[str], envelopes: Sequence[bytes], send: _Send, published: list[str]
    ) -> None:
        """Publish messages that need no checks. Raises LengthLimitedError if the others do."""
        level = send.level
        parts = parts_of(envelopes, shards)
        if len(parts) == 1 or len(shards) > 1 or level is not None or self.broker.connection.spans_nodes:
            for part in parts:
                published += await self._send_to_shard(queue, shards, part, send)
                shards = self._shards[queue]
        else:
            await self._pipelined(queue, parts, send, published)

    async def _envelopes(self, bodies: Iterable[Any], header: bytes) -> list[bytes]:
        """The encoded messages. Other tasks run between two slices of many messages."""
        limit_bytes, encode = self._limit_bytes, self._encode
        envelopes: list[bytes] = []
        for number, body in enumerate(bodies, 1):
            data = encode_body(body, limit_bytes) if encode is None else self._encoded(body, encode)
            envelopes.append(header + data)
            if number % _ENCODED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return envelopes

    async def publish_encoded(self, queue: str, envelope: bytes, unique_key: str, terms: Terms) -> str:
        """As Publisher.publish_encoded."""
        await self._until_done(self._read_time)
        if not (unique_key or terms.expires_ms):
            with suppress(LengthLimitedError):
                (message_id,) = await self._send(queue, [envelope], _Send(terms.priority, terms.delay_ms, None))
                return message_id
        published = PublishedIds()
        self._shards[queue] = [queue]
        try:
            await self._publish_checked(queue, [unique_key] if unique_key else (), [envelope], terms, None, published)
        finally:
            self._shards.pop(queue, None)
        return published[0]

    async def _read_time(self) -> None:
        self._clock.sync(*await self.broker.time())

    async def _read_shards(self, queue: str) -> Sequence[str]:
        """The names of the queue's shards; its own name if it is not sharded."""

        async def read() -> Sequence[str]:
            self._shards[queue] = await self.broker.shards(queue)
            return self._shards[queue]

        return await self._until_done(read)

    async def _pipelined(self, queue: str, parts: Sequence[Sequence[bytes]], send: _Send, published: list[str]) -> None:
        """Publish with requests that are sent before the replies to earlier ones arrive. See PublishPipeline."""
        in_flight: deque[Request] = deque()
        try:
            for part in parts:
                request = self._request(queue, part)
                before = in_flight[-1].number if in_flight else 0
                in_flight.append(request)
                if not await _succeeds(self._begin(queue, request, before, send)):
                    await self._one_by_one(queue, in_flight, send, published)
                elif len(in_flight) == MAX_IN_FLIGHT:
                    await self._finish(queue, in_flight, send, published)
            while in_flight:
                await self._finish(queue, in_flight, send, published)
        finally:
            if in_flight:
                self.broker.connection.drop()  # their replies must not answer other commands

    async def _begin(self, queue: str, request: Request, before: int, send: _Send) -> bool:
        numbers = request.number, before
        await self.broker.send_publish(queue, self._nonce, numbers, send.delay_ms, send.priority, request.entries())
        return True

    async def _finish(self, queue: str, in_flight: deque[Request], send: _Send, published: list[str]) -> None:
        """Read the first reply; repeat all requests in flight if the first one was not executed."""
        if await _succeeds(self.broker.has_published(queue)):
            published += in_flight.popleft().message_ids
        else:
            await self._one_by_one(queue, in_flight, send, published)

    async def _one_by_one(self, queue: str, in_flight: deque[Request], send: _Send, published: list[str]) -> None:
        self.broker.connection.drop()
        while in_flight:
            await self._until_done(lambda: self._store(queue, in_flight[0], send))
            published += in_flight.popleft().message_ids

    async def _send_to_shard(
        self, queue: str, shards: Sequence[str], envelopes: Sequence[bytes], send: _Send
    ) -> Sequence[str]:
        """`_send` to the next shard in turn; again if the queue has been created again with other shards."""
        shard = self._next_shard(shards)
        try:
            return await self._send(shard, envelopes, send)
        except QueueNotFoundError:
            now = await self._read_shards(queue)
            if shard in now:
                raise QueueNotFoundError(queue) from None
            return await self._send(self._next_shard(now), envelopes, send)

    async def _send(self, queue: str, envelopes: Sequence[bytes], send: _Send) -> Sequence[str]:
        """Publish with one request, and wait for its confirmation if there is a level; returns the ids."""
        request = self._request(queue, envelopes)
        level = send.level
        if level is None:
            await self._until_done(lambda: self._store(queue, request, send))
            return request.message_ids

        async def store() -> int:
            await self._store(queue, request, send)
            return await self._confirmed(queue, self._nonce, request.number, level)

        reached = await self._until_done(store)
        if reached < (level.replicas or 1):
            raise NotConfirmedError(list(request.message_ids), str(level), reached)
        return request.message_ids

    async def _store(self, queue: str, request: Request, send: _Send) -> None:
        await self.broker.publish(queue, self._nonce, request.number, send.delay_ms, send.priority, request.entries())

    async def _check_confirm(self, queue: str, level: confirms.ConfirmLevel) -> None:
        """As confirms.check."""
        k = self.broker.keys(queue)
        connection = await self.broker.connection.at(k.meta)
        try:
            for command in confirms.check_commands(k, level):
                await connection.execute(*command)
        except (CommandRefusedError, BrokerReplyError) as error:
            raise confirms.check_error(error, level) from error

    async def _confirmed(self, queue: str, publisher: str, request: int, level: confirms.ConfirmLevel) -> int:
        """As confirms.wait."""
        key = self.broker.keys(queue).publisher(publisher)
        connection = await self.broker.connection.at(key)
        try:
            replies = await connection.execute_all(*confirms.wait_commands(key, level))
        except SlotMovedError as error:
            raise confirms.moving(error) from error
        return confirms.wait_result(replies, request, level)

    async def _until_done(self, action: Callable[[], Awaitable[T]]) -> T:
        """The result of an action, which is repeated until it succeeds, or until `retry_for_s` has passed.

        The action must be safe to repeat; a publish is, because its request number stays the same.
        """
        try:
            return await action()
        except BrokerUnavailableError as error:
            failed = error
        outage = Outage(_logger, "publisher")
        patience = Patience(outage, self._retry_for_s)
        while True:
            await asyncio.sleep(patience.wait_s(failed))
            try:
                result = await action()
            except BrokerUnavailableError as error:
                failed = error
            else:
                outage.over()
                return result


class _Send:
    """How all messages of one publish are sent."""

    __slots__ = ("delay_ms", "level", "priority")

    def __init__(self, priority: int, delay_ms: int, level: confirms.ConfirmLevel | None) -> None:
        self.priority, self.delay_ms, self.level = priority, delay_ms, level


async def _succeeds(action: Awaitable[bool]) -> bool:
    """Whether an action succeeds. If it fails, its repetition meets the same error and handles it."""
    try:
        return await action
    except BizzMQError:
        return False
