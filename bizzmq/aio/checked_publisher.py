"""As `bizzmq.publisher.checked_publisher`, for asyncio."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Awaitable, Callable, Iterable, NamedTuple, Sequence, Tuple, TypeVar

from bizzmq.aio.broker import AsyncBroker
from bizzmq.broker.checked_publish import CheckedRequest, Seal, Standing, Terms, numbers_of
from bizzmq.errors import BizzMQError, NotConfirmedError, QueueNotFoundError
from bizzmq.publisher import confirms
from bizzmq.publisher.checked import Part, parts_of
from bizzmq.publisher.pipeline import MAX_IN_FLIGHT
from bizzmq.publisher.requests import RequestMaker

T = TypeVar("T")
Sent = Tuple[Part, CheckedRequest]


class CheckedAsyncPublisher(RequestMaker):
    """Publishes messages that are unique or expire, and those for queues of limited length."""

    broker: AsyncBroker

    async def _until_done(self, action: Callable[[], Awaitable[T]]) -> T:
        """The result of an action, which is repeated while Redis is unavailable."""
        raise NotImplementedError  # AsyncPublisher has it

    async def _read_shards(self, queue: str) -> Sequence[str]:
        """The names of the queue's shards, which are also noted."""
        raise NotImplementedError  # AsyncPublisher has it

    async def _confirmed(self, queue: str, publisher: str, request: int, level: confirms.ConfirmLevel) -> int:
        """As confirms.wait."""
        raise NotImplementedError  # AsyncPublisher has it

    async def _publish_checked(
        self,
        queue: str,
        keys: Sequence[str],
        envelopes: Sequence[bytes],
        terms: Terms,
        level: confirms.ConfirmLevel | None,
        published: list[str],
    ) -> None:
        """As Publisher._publish_checked."""
        shards = self._shards[queue]
        try:
            await self._publish_parts(queue, keys, envelopes, terms, level, published)
        except QueueNotFoundError:
            if await self._read_shards(queue) == shards:
                raise
            await self._publish_parts(queue, keys, envelopes, terms, level, published)

    async def _publish_parts(
        self,
        queue: str,
        keys: Sequence[str],
        envelopes: Sequence[bytes],
        terms: Terms,
        level: confirms.ConfirmLevel | None,
        published: list[str],
    ) -> None:
        shards = self._shards[queue]
        parts = parts_of(keys, envelopes, shards, len(published))
        if len(shards) == 1 and len(envelopes) > 1 and level is None and self._can_pipeline(terms):
            await self._publish_pipelined(queue, parts, terms, published)
            return
        for part in parts:
            shard = part.shard or self._next_shard(shards)
            send = _Send(shard, terms, self._seal(shard), level)
            request = self._checked_request(part)
            standing, reached = await self._until_done(partial(self._store_checked, send, request))
            self._note_standing(queue, part, request, standing, published)
            if level is not None and reached < (level.replicas or 1):
                raise NotConfirmedError(list(standing.message_ids), str(level), reached)

    async def _store_checked(self, send: _Send, request: CheckedRequest) -> tuple[Standing, int]:
        """Publish, and wait for the confirmation if there is a level: how many replicas have the request."""
        standing = await self.broker.publish_checked(send.queue, self._nonce, request, send.terms, send.seal)
        if send.level is None:
            return standing, 0
        return standing, await self._confirmed(send.queue, numbers_of(self._nonce), request.number, send.level)

    def _can_pipeline(self, terms: Terms) -> bool:
        """As CheckedPublisher._can_pipeline."""
        may_seal_anew = self._sealer is not None and terms.replaces
        return not may_seal_anew and not self.broker.connection.spans_nodes

    async def _publish_pipelined(self, queue: str, parts: Iterable[Part], terms: Terms, published: list[str]) -> None:
        """Publish to a queue without shards. See PublishPipeline."""
        send = _Send(queue, terms, self._seal(queue), None)
        in_flight: deque[Sent] = deque()
        try:
            for part in parts:
                request = self._checked_request(part)
                before = in_flight[-1][1].number if in_flight else 0
                in_flight.append((part, request))
                if not await self._begin_checked(send, request, before):
                    await self._repeat_checked(send, in_flight, published)
                elif len(in_flight) == MAX_IN_FLIGHT:
                    await self._finish_checked(send, in_flight, published)
            while in_flight:
                await self._finish_checked(send, in_flight, published)
        finally:
            if in_flight:
                self.broker.connection.drop()  # their replies must not answer other commands

    async def _begin_checked(self, send: _Send, request: CheckedRequest, before: int) -> bool:
        try:
            await self.broker.send_publish_checked(send.queue, self._nonce, request, send.terms, before, send.seal)
        except BizzMQError:
            return False  # its repetition meets the same error
        return True

    async def _finish_checked(self, send: _Send, in_flight: deque[Sent], published: list[str]) -> None:
        """Read the first reply; repeat all requests in flight if the first one was not executed."""
        part, request = in_flight[0]
        try:
            standing = await self.broker.read_publish_checked(send.queue, self._nonce, request)
        except BizzMQError:
            standing = None
        if standing is None:
            await self._repeat_checked(send, in_flight, published)
        else:
            self._note_standing(send.queue, part, request, standing, published)
            in_flight.popleft()

    async def _repeat_checked(self, send: _Send, in_flight: deque[Sent], published: list[str]) -> None:
        self.broker.connection.drop()
        while in_flight:
            part, request = in_flight[0]
            standing, _ = await self._until_done(partial(self._store_checked, send, request))
            self._note_standing(send.queue, part, request, standing, published)
            in_flight.popleft()


class _Send(NamedTuple):
    """How the requests of a publish are sent, and to which queue or shard."""

    queue: str
    terms: Terms
    seal: Seal
    level: confirms.ConfirmLevel | None
