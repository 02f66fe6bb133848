"""The publisher of messages that are unique or expire, and of those for queues of limited length."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Callable, Iterable, Iterator, Sequence, TypeVar

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest, Seal, Standing, Terms, numbers_of
from bizzmq.errors import NotConfirmedError, QueueNotFoundError
from bizzmq.publisher import confirms
from bizzmq.publisher.checked import Part, parts_of
from bizzmq.publisher.pipeline import PublishPipeline
from bizzmq.publisher.requests import RequestMaker

T = TypeVar("T")


class CheckedPublisher(RequestMaker):
    """Publishes with requests whose repetition returns the same ids."""

    broker: Broker

    def _until_done(self, action: Callable[[], T]) -> T:
        """The result of an action, which is repeated while Redis is unavailable."""
        raise NotImplementedError  # Publisher has it

    def _read_shards(self, queue: str) -> Sequence[str]:
        """The names of the queue's shards, which are also noted."""
        raise NotImplementedError  # Publisher has it

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
        shards = self._shards[queue]
        parts = parts_of(keys, envelopes, shards, len(published))
        if len(shards) == 1 and len(envelopes) > 1 and level is None and self._can_pipeline(terms):
            self._publish_pipelined(queue, parts, terms, published)
            return
        for part in parts:
            shard = part.shard or self._next_shard(shards)
            request, seal = self._checked_request(part), self._seal(shard)
            store = partial(self._store_checked, shard, request, terms, seal, level)
            standing, reached = self._until_done(store)
            self._note_standing(queue, part, request, standing, published)
            if level is not None and reached < (level.replicas or 1):
                raise NotConfirmedError(list(standing.message_ids), str(level), reached)

    def _store_checked(
        self, shard: str, request: CheckedRequest, terms: Terms, seal: Seal, level: confirms.ConfirmLevel | None
    ) -> tuple[Standing, int]:
        """Publish, and wait for the confirmation if there is a level: how many replicas have the request."""
        standing = self.broker.publish_checked(shard, self._nonce, request, terms, seal)
        if level is None:
            return standing, 0
        return standing, confirms.wait(self.broker, shard, numbers_of(self._nonce), request.number, level)

    def _can_pipeline(self, terms: Terms) -> bool:
        """Whether requests can be sent before the replies to earlier ones arrive: none is sealed anew."""
        may_seal_anew = self._sealer is not None and terms.replaces
        return not may_seal_anew and not self.broker.connection.spans_nodes

    def _publish_pipelined(self, queue: str, parts: Iterable[Part], terms: Terms, published: list[str]) -> None:
        """Publish to a queue without shards. See PublishPipeline."""
        broker, nonce, seal = self.broker, self._nonce, self._seal(queue)
        sent: deque[Part] = deque()
        standings: dict[int, Standing] = {}

        def requests() -> Iterator[CheckedRequest]:
            for part in parts:
                sent.append(part)
                yield self._checked_request(part)

        def send(request: CheckedRequest, before: int) -> None:
            broker.send_publish_checked(queue, nonce, request, terms, before, seal)

        def is_stored(request: CheckedRequest) -> bool:
            standing = broker.read_publish_checked(queue, nonce, request)
            if standing is not None:
                standings[request.number] = standing
            return standing is not None

        def store(request: CheckedRequest) -> None:
            repeat = partial(broker.publish_checked, queue, nonce, request, terms, seal)
            standings[request.number] = self._until_done(repeat)

        for request in PublishPipeline(send, is_stored, store, broker.connection.drop).stored(requests()):
            self._note_standing(queue, sent.popleft(), request, standings.pop(request.number), published)
