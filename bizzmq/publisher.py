"""Publishing: encode everything first, then send in batches that may be repeated without doubling."""

from __future__ import annotations

import logging
import random
import time
from typing import Any, Callable, Iterable, Iterator, Sequence

from bizzmq import clock, confirm, ids
from bizzmq.broker import Broker
from bizzmq.errors import BrokerReplyError, BrokerUnavailableError, NotConfirmedError, QueueNotFoundError
from bizzmq.foreign import CommandRefusedError
from bizzmq.message import MAX_PAYLOAD_BYTES, MessageOptions, encode_body
from bizzmq.outage import Outage
from bizzmq.publish_stream import BATCH_MESSAGES, SHARD_BATCH_MESSAGES, PublishStream, Request, batches
from bizzmq.signing import Signer

RETRY_FOR_S = 10.0
"""How long a publish is tried again while Redis is away. Far below the 120 s for which Redis remembers
the number of a publisher's last request (publish.lua), so a repeat is always recognised."""

_logger = logging.getLogger("bizzmq.publisher")


class Publisher:
    """Publishes for one user at a time: it numbers its requests.

    Args:
        server_clock: shared by all publishers of a client, so that their ids keep one order.
        signer: signs what is published; None publishes unsigned.
    """

    def __init__(
        self,
        broker: Broker,
        server_clock: clock.ServerClock | None = None,
        *,
        limit_bytes: int = MAX_PAYLOAD_BYTES,
        retry_for_s: float = RETRY_FOR_S,
        signer: Signer | None = None,
    ) -> None:
        self._broker = broker
        self._clock = server_clock or clock.ServerClock()
        self._limit_bytes = limit_bytes
        self._retry_for_s = retry_for_s
        self._signer = signer
        self._renumber()
        self._confirmable: set[confirm.Level] = set()
        self._shards: dict[str, Sequence[str]] = {}
        self._turn = random.randrange(1 << 16)

    def _renumber(self) -> None:
        """Begin as another publisher: what Redis has of this one's number may be forged."""
        self._nonce = ids.nonce()
        self._number = 0
        self._ids = ids.MessageIds(self._nonce)

    def close(self) -> None:
        """Close the connection; publishing again opens another one."""
        self._broker.connection.drop()

    def publish(self, queue: str, bodies: Iterable[Any], options: MessageOptions) -> list[str]:
        """Publish in order; returns the ids in order.

        Raises:
            EncodeError, PayloadTooLargeError: of any body; then none was published.
            QueueNotFoundError: none was published.
            ConfigurationError: the server cannot confirm what `options` asks for; none was published.
            NotConfirmedError: the confirmation has not come in time; the batch under way is stored.
            BrokerFullError, BrokerUnavailableError: see `published_ids` of the error for those that were;
                the two batches under way when Redis went away may have been published too.
        """
        self._broker.keys(queue)  # a bad name is said before anything else
        header = options.header()
        envelopes = [header + encode_body(body, self._limit_bytes) for body in bodies]
        published: list[str] = []
        level = confirm.level_of(options.confirm)
        if level is not None and level not in self._confirmable:
            self._insist(lambda: confirm.check(self._broker, queue, level))
            self._confirmable |= set() if level.disk else {level}  # an append-only file can be switched off
        try:
            shards = self._shards_of(queue) if envelopes else ()
            if not self._clock.known:
                self._insist(lambda: self._clock.sync(*self._broker.time()))
            most = BATCH_MESSAGES if len(shards) == 1 else SHARD_BATCH_MESSAGES
            delay_ms = options.delay_ms(self._clock.micros()) if options.delay_s else 0
            parts = [envelopes] if len(envelopes) == 1 else list(batches(envelopes, most))
            if len(parts) == 1 or len(shards) > 1 or level is not None or self._broker.connection.spans_nodes:
                for part in parts:
                    published += self._send(self._next_of(shards), part, delay_ms, options.priority, level)
            else:
                for request in self._stream(queue, parts, delay_ms, options.priority):
                    published += request.message_ids
        except Exception as error:
            if isinstance(error, QueueNotFoundError):
                self._shards.pop(queue, None)  # it may be created anew in another number
            if isinstance(error, BrokerReplyError):
                self._renumber()
            error.published_ids = published  # type: ignore[attr-defined]  # facts for the caller
            raise
        return published

    def _shards_of(self, queue: str) -> Sequence[str]:
        """The queue itself, if it has no others."""
        if not self._shards.get(queue):

            def ask() -> None:
                self._shards[queue] = self._broker.shards(queue)

            self._insist(ask)
        return self._shards[queue]

    def _next_of(self, shards: Sequence[str]) -> str:
        """The shard whose turn it is."""
        self._turn += 1
        return shards[self._turn % len(shards)]

    def _stream(self, queue: str, parts: Sequence[Sequence[bytes]], delay_ms: int, priority: int) -> Iterator[Request]:
        """The requests that publish them, each once it is stored; they are sent ahead."""
        broker = self._broker

        def send(request: Request, before: int) -> None:
            numbers = request.number, before
            broker.send_publish(queue, self._nonce, numbers, delay_ms, priority, request.entries())

        def store(request: Request) -> None:
            self._insist(lambda: self._store(queue, request, delay_ms, priority))

        stream = PublishStream(send, lambda: broker.has_published(queue), store, broker.connection.drop)
        return stream.stored(self._request(queue, part) for part in parts)

    def _send(
        self, queue: str, envelopes: Sequence[bytes], delay_ms: int, priority: int, level: confirm.Level | None
    ) -> Sequence[str]:
        """Publish by one request, and have it confirmed if a level asks for that; returns the ids."""
        request = self._request(queue, envelopes)
        reached = 0

        def store() -> None:
            nonlocal reached
            self._store(queue, request, delay_ms, priority)
            if level is not None:
                reached = confirm.wait(self._broker, queue, self._nonce, request.number, level)

        self._insist(store)
        if level is not None and reached < (level.replicas or 1):
            raise NotConfirmedError(list(request.message_ids), str(level), reached)
        return request.message_ids

    def _request(self, queue: str, envelopes: Sequence[bytes]) -> Request:
        """The next one. From here on its messages have their ids."""
        message_ids = self._ids.take(self._clock.micros(), len(envelopes))
        if self._signer is not None:
            sign = self._signer.sign
            envelopes = [sign(message_id, queue, envelope) for message_id, envelope in zip(message_ids, envelopes)]
        self._number += 1
        return Request(self._number, message_ids, envelopes)

    def _store(self, queue: str, request: Request, delay_ms: int, priority: int) -> None:
        self._broker.publish(queue, self._nonce, request.number, delay_ms, priority, request.entries())

    def _insist(self, action: Callable[[], None]) -> None:
        """Repeat until it works or `retry_for_s` has passed; the same request number makes that safe."""
        try:
            action()
        except BrokerUnavailableError as error:
            self._hold_out(action, error)

    def _hold_out(self, action: Callable[[], None], error: BrokerUnavailableError) -> None:
        """The rest of `_insist`, after a first try that has failed."""
        outage = Outage(_logger, "publisher")
        give_up_s = clock.monotonic() + self._retry_for_s
        while True:
            if isinstance(error, CommandRefusedError):
                raise error  # waiting does not cure that
            wait_s = outage.failed(error)
            if clock.monotonic() + wait_s > give_up_s:
                raise error
            time.sleep(wait_s)
            try:
                action()
                outage.over()
                return
            except BrokerUnavailableError as again:
                error = again
