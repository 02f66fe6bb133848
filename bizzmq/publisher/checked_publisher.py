"""The publisher of messages that are unique or expire, and of those for queues of limited length."""

from __future__ import annotations

from typing import Callable, Sequence, TypeVar

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest, Seal, Standing, Terms, checked_publish, numbers_of
from bizzmq.errors import NotConfirmedError, QueueNotFoundError
from bizzmq.publisher import confirms
from bizzmq.publisher.checked import parts_of
from bizzmq.publisher.requests import RequestMaker

T = TypeVar("T")


class CheckedPublisher(RequestMaker):
    """Publishes with requests whose repetition returns the same ids; one after the other, not pipelined."""

    broker: Broker

    def _until_done(self, action: Callable[[], T]) -> T:
        """The result of an action, which is repeated while Redis is unavailable."""
        raise NotImplementedError

    def _read_shards(self, queue: str) -> Sequence[str]:
        """The names of the queue's shards, which are also noted."""
        raise NotImplementedError

    def _publish_checked(
        self,
        queue: str,
        keys: Sequence[str],
        envelopes: Sequence[bytes],
        terms: Terms,
        level: confirms.ConfirmLevel | None,
        published: list[str],
    ) -> None:
        """Publish messages that are unique or expire, or go to a queue of limited length: all that are not yet."""
        shards = self._shards[queue]
        try:
            self._publish_parts(queue, keys, envelopes, terms, level, published)
        except QueueNotFoundError:
            if self._read_shards(queue) == shards:
                raise
            self._publish_parts(queue, keys, envelopes, terms, level, published)

    def _publish_parts(
        self,
        queue: str,
        keys: Sequence[str],
        envelopes: Sequence[bytes],
        terms: Terms,
        level: confirms.ConfirmLevel | None,
        published: list[str],
    ) -> None:
        parts = parts_of(keys, envelopes, self._shards[queue], len(published))
        for part in parts:
            shard = part.shard or self._next_shard(self._shards[queue])
            request, seal, reached = self._checked_request(part), self._seal(shard), 0

            def store(shard: str = shard, request: CheckedRequest = request, seal: Seal = seal) -> Standing:
                nonlocal reached
                operation = checked_publish(self.broker.keys(shard), self._nonce, request, terms, seal)
                standing = self.broker.perform(operation)
                if level is not None:
                    reached = confirms.wait(self.broker, shard, numbers_of(self._nonce), request.number, level)
                return standing

            standing = self._until_done(store)
            self._note_standing(part, request, standing, published)
            if standing.dropped:
                self._drops.note(queue, standing.dropped)
            if level is not None and reached < (level.replicas or 1):
                raise NotConfirmedError(list(standing.message_ids), str(level), reached)
