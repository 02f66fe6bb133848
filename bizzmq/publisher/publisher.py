"""The publisher: it encodes all messages first, and then sends numbered requests that are safe to repeat."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Iterable, Iterator, Sequence, TypeVar

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import LengthLimitedError, Terms
from bizzmq.connection.retry import Outage, retry
from bizzmq.errors import BrokerUnavailableError, NotConfirmedError, QueueNotFoundError
from bizzmq.message import MessageOptions
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES, encode_body, encode_header
from bizzmq.protocol.sealing import Sealer
from bizzmq.publisher import confirms
from bizzmq.publisher.checked import PublishedIds, terms_of, unique_keys
from bizzmq.publisher.checked_publisher import CheckedPublisher
from bizzmq.publisher.conversion import Encode
from bizzmq.publisher.pipeline import PublishPipeline, Request
from bizzmq.publisher.requests import Patience, parts_of
from bizzmq.utils import clock
from bizzmq.utils.forks import renew_in_children
from bizzmq.utils.object_pool import PoolEntry

RETRY_FOR_S = 10.0
"""How long a publish is retried while Redis is unavailable, seconds. Far below the 120 s for which Redis remembers
the number of a publisher's last request (publish.lua), so that a repetition is always recognised."""

T = TypeVar("T")
_logger = logging.getLogger("bizzmq.publisher")


class Publisher(CheckedPublisher):
    """Publishes for one thread at a time with numbered requests. A forked child becomes another publisher.

    An interrupt at any point is safe: a number is used up before its request is sent, and is never used for other
    messages.

    Args:
        server_clock: shared by all publishers of a client, so that their ids have a common order.
        limit_bytes: the largest size of a body as JSON.
        retry_for_s: how long a publish is retried while Redis is unavailable, seconds.
        sealer: compresses, encrypts and signs the messages; None publishes them as they are.
        encode: converts values that JSON cannot express; None refuses them.

    Attributes:
        broker: the publisher's broker; it can be used for other commands between two publishes.
    """

    pool_entry: PoolEntry

    def __init__(
        self,
        broker: Broker,
        server_clock: clock.ServerClock | None = None,
        *,
        limit_bytes: int = MAX_PAYLOAD_BYTES,
        retry_for_s: float = RETRY_FOR_S,
        sealer: Sealer | None = None,
        encode: Encode | None = None,
    ) -> None:
        super().__init__(server_clock or clock.ServerClock(), limit_bytes=limit_bytes, sealer=sealer, encode=encode)
        self.broker = broker
        self._retry_for_s = retry_for_s
        broker.connection.on_open = self._clock.invalidate
        renew_in_children(self)

    def close(self) -> None:
        """Close the connection; publishing again opens a new one."""
        self.broker.connection.drop()

    def publish(
        self, queue: str, bodies: Iterable[Any], options: MessageOptions, published: list[str] | None = None,
        task: str = "", version: int = 1,
    ) -> list[str]:  # fmt: skip
        """Publish messages in order; returns their ids in order.

        Args:
            published: a list to which the ids are added as soon as their messages are stored; it is also returned.
            task: the name of the task whose arguments the bodies are, and their version; "" for plain messages.

        Raises (each error, also an interrupt, has the ids of the stored messages as `published_ids`):
            EncodeError, PayloadTooLargeError: a body is invalid; none was published.
            QueueNotFoundError: none was published, unless the queue was deleted in the meantime.
            QueueFullError: the messages of this request were not published, nor those behind them.
            ConfigurationError: the server does not support `options.confirm`; none was published.
            NotConfirmedError: the confirmation did not arrive in time; the messages of that request are stored.
            BrokerFullError, BrokerUnavailableError: the messages of the two requests in flight may be published, too.
        """
        if published is None:
            published = []
        try:
            self._publish(queue, bodies, options, published, encode_header(options, task, version))
        except BaseException as error:
            self._note_failure(queue, error, published)
            raise
        return published

    def _publish(
        self, queue: str, bodies: Iterable[Any], options: MessageOptions, published: list[str], header: bytes
    ) -> None:
        self.broker.keys(queue)  # an invalid name is reported before anything else
        limit_bytes = self._limit_bytes
        is_checked = options.unique_key or options.expires_s is not None or queue in self._limited
        if is_checked and callable(options.unique_key):
            bodies = list(bodies)
        if self._encode is None:
            envelopes = [header + encode_body(body, limit_bytes) for body in bodies]
        else:
            envelopes = [header + self._encoded(body, self._encode) for body in bodies]
        level = confirms.level_of(options.confirm) if options.confirm else None
        if level is not None and level not in self._confirmable:
            self._until_done(partial(confirms.check, self.broker, queue, level))
            self._note_confirmable(level)
        if not envelopes:
            return
        shards = self._shards.get(queue) or self._read_shards(queue)
        if self._clock.is_due():
            self._until_done(self._read_time)
        priority, delay_ms = options.priority, options.delay_ms(self._clock.micros()) if options.delay_s else 0
        if is_checked:
            keys = unique_keys(queue, options, bodies, len(envelopes))
            self._publish_checked(queue, keys, envelopes, terms_of(options, delay_ms), level, published)
            return
        try:
            if len(envelopes) == 1:
                published += self._send_to_shard(queue, shards, envelopes, delay_ms, priority, level)
            else:
                self._publish_many(queue, shards, envelopes, delay_ms, priority, level, published)
        except LengthLimitedError:
            self._limited.add(queue)
            self._publish_checked(queue, (), envelopes, terms_of(options, delay_ms), level, published)

    def _publish_many(
        self,
        queue: str,
        shards: Sequence[str],
        envelopes: Sequence[bytes],
        delay_ms: int,
        priority: int,
        level: confirms.ConfirmLevel | None,
        published: list[str],
    ) -> None:
        parts = parts_of(envelopes, shards)
        if len(parts) == 1 or len(shards) > 1 or level is not None or self.broker.connection.spans_nodes:
            for part in parts:
                published += self._send_to_shard(queue, shards, part, delay_ms, priority, level)
                shards = self._shards[queue]
        else:
            for request in self._pipelined(queue, parts, delay_ms, priority):
                published += request.message_ids

    def publish_encoded(self, queue: str, envelope: bytes, unique_key: str, terms: Terms) -> str:
        """Publish an envelope as it is, to a queue's first shard.

        Returns:
            Its id, or that of the message that has the unique key.

        Raises:
            As `publish`.
        """
        self._until_done(self._read_time)
        if not (unique_key or terms.expires_ms):
            with suppress(LengthLimitedError):
                (message_id,) = self._send(queue, [envelope], terms.delay_ms, terms.priority, None)
                return message_id
        published = PublishedIds()
        self._shards[queue] = [queue]
        try:
            self._publish_checked(queue, [unique_key] if unique_key else (), [envelope], terms, None, published)
        finally:
            self._shards.pop(queue, None)
        return published[0]

    def _read_time(self) -> None:
        self._clock.sync(*self.broker.time())

    def _read_shards(self, queue: str) -> Sequence[str]:
        """The names of the queue's shards; its own name if it is not sharded."""

        def read() -> None:
            self._shards[queue] = self.broker.shards(queue)

        self._until_done(read)
        return self._shards[queue]

    def _pipelined(
        self, queue: str, parts: Sequence[Sequence[bytes]], delay_ms: int, priority: int
    ) -> Iterator[Request]:
        """The requests that publish these envelopes, pipelined; each once it is stored."""
        broker = self.broker

        def send(request: Request, before: int) -> None:
            numbers = request.number, before
            broker.send_publish(queue, self._nonce, numbers, delay_ms, priority, request.entries())

        def store(request: Request) -> None:
            self._until_done(lambda: self._store(queue, request, delay_ms, priority))

        pipeline = PublishPipeline(send, lambda _: broker.has_published(queue), store, broker.connection.drop)
        return pipeline.stored(self._request(queue, part) for part in parts)

    def _send_to_shard(
        self,
        queue: str,
        shards: Sequence[str],
        envelopes: Sequence[bytes],
        delay_ms: int,
        priority: int,
        level: confirms.ConfirmLevel | None,
    ) -> Sequence[str]:
        """`_send` to the next shard in turn; again if the queue has been created again with other shards."""
        shard = self._next_shard(shards)
        try:
            return self._send(shard, envelopes, delay_ms, priority, level)
        except QueueNotFoundError:
            now = self._read_shards(queue)
            if shard in now:
                raise QueueNotFoundError(queue) from None
            return self._send(self._next_shard(now), envelopes, delay_ms, priority, level)

    def _send(
        self, queue: str, envelopes: Sequence[bytes], delay_ms: int, priority: int, level: confirms.ConfirmLevel | None
    ) -> Sequence[str]:
        """Publish with one request, and wait for its confirmation if there is a level; returns the ids."""
        request = self._request(queue, envelopes)
        if level is None:
            try:
                self._store(queue, request, delay_ms, priority)
            except BrokerUnavailableError as error:
                self._retry(partial(self._store, queue, request, delay_ms, priority), error)
            return request.message_ids
        reached = 0

        def store() -> None:
            nonlocal reached
            self._store(queue, request, delay_ms, priority)
            reached = confirms.wait(self.broker, queue, self._nonce, request.number, level)

        self._until_done(store)
        if reached < (level.replicas or 1):
            raise NotConfirmedError(list(request.message_ids), str(level), reached)
        return request.message_ids

    def _store(self, queue: str, request: Request, delay_ms: int, priority: int) -> None:
        self.broker.publish(queue, self._nonce, request.number, delay_ms, priority, request.entries())

    def _until_done(self, action: Callable[[], T]) -> T:
        """The result of an action, which is repeated as by `_retry`."""
        try:
            return action()
        except BrokerUnavailableError as error:
            return self._retry(action, error)

    def _retry(self, action: Callable[[], T], failed: BrokerUnavailableError) -> T:
        """Repeat an action that has failed until it succeeds, or until `retry_for_s` has passed.

        The action must be safe to repeat; a publish is, because its request number stays the same.
        """
        outage = Outage(_logger, "publisher")
        patience = Patience(outage, self._retry_for_s)

        def wait(error: Exception) -> None:
            time.sleep(patience.wait_s(error))

        return retry(action, outage, wait, on=(BrokerUnavailableError,), failed=failed)
