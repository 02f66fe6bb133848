"""As `bizzmq.publisher.checked_publisher`, for asyncio."""

from __future__ import annotations

from typing import Awaitable, Callable, Sequence, TypeVar

from bizzmq.aio.broker import AsyncBroker
from bizzmq.broker.checked_publish import CheckedRequest, Seal, Standing, Terms, checked_publish, numbers_of
from bizzmq.errors import NotConfirmedError, QueueNotFoundError
from bizzmq.publisher import confirms
from bizzmq.publisher.checked import parts_of
from bizzmq.publisher.requests import RequestMaker

T = TypeVar("T")


class CheckedAsyncPublisher(RequestMaker):
    """Publishes messages that are unique or expire, and those for queues of limited length."""

    broker: AsyncBroker

    async def _until_done(self, action: Callable[[], Awaitable[T]]) -> T:
        """The result of an action, which is repeated while Redis is unavailable."""
        raise NotImplementedError

    async def _read_shards(self, queue: str) -> Sequence[str]:
        """The names of the queue's shards, which are also noted."""
        raise NotImplementedError

    async def _confirmed(self, queue: str, publisher: str, request: int, level: confirms.ConfirmLevel) -> int:
        """As confirms.wait."""
        raise NotImplementedError

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
        for part in parts_of(keys, envelopes, self._shards[queue], len(published)):
            shard = part.shard or self._next_shard(self._shards[queue])
            request, seal = self._checked_request(part), self._seal(shard)

            async def store(
                shard: str = shard, request: CheckedRequest = request, seal: Seal = seal
            ) -> tuple[Standing, int]:
                operation = checked_publish(self.broker.keys(shard), self._nonce, request, terms, seal)
                standing = await self.broker.perform(operation)
                if level is None:
                    return standing, 0
                return standing, await self._confirmed(shard, numbers_of(self._nonce), request.number, level)

            standing, reached = await self._until_done(store)
            self._note_standing(part, request, standing, published)
            if standing.dropped:
                self._drops.note(queue, standing.dropped)
            if level is not None and reached < (level.replicas or 1):
                raise NotConfirmedError(list(standing.message_ids), str(level), reached)
