"""Publishing: encode everything first, then send in batches that may be repeated without doubling."""

from __future__ import annotations

import logging
import random
import time
from functools import partial
from typing import Any, Callable, Iterable, Iterator, Sequence

from bizzmq import clock, confirm, ids
from bizzmq.broker import Broker
from bizzmq.conversion import Encode, converted
from bizzmq.errors import BrokerReplyError, BrokerUnavailableError, EncodeError, NotConfirmedError, QueueNotFoundError
from bizzmq.foreign import CommandRefusedError
from bizzmq.forks import renew_in_children
from bizzmq.message import MAX_PAYLOAD_BYTES, MessageOptions, encode_body
from bizzmq.outage import Outage
from bizzmq.publish_stream import BATCH_MESSAGES, SHARD_BATCH_MESSAGES, PublishStream, Request, batches
from bizzmq.reservoir import Place
from bizzmq.signing import Signer

RETRY_FOR_S = 10.0
"""How long a publish is tried again while Redis is away. Far below the 120 s for which Redis remembers
the number of a publisher's last request (publish.lua), so a repeat is always recognised."""

_logger = logging.getLogger("bizzmq.publisher")


class Publisher:
    """Publishes for one user at a time: it numbers its requests. A forked child numbers its own.

    What interrupts it leaves nothing that could be mistaken later: a number is used up before it is sent, and is never
    given to other messages.

    Args:
        server_clock: shared by all publishers of a client, so that their ids keep one order.
        signer: signs what is published; None publishes unsigned.
        encode: makes plain JSON of what is none; None refuses it.

    Attributes:
        broker: its connection, for other uses between two publishes.
    """

    place: Place

    def __init__(
        self,
        broker: Broker,
        server_clock: clock.ServerClock | None = None,
        *,
        limit_bytes: int = MAX_PAYLOAD_BYTES,
        retry_for_s: float = RETRY_FOR_S,
        signer: Signer | None = None,
        encode: Encode | None = None,
    ) -> None:
        self._encode = encode
        self.broker = broker
        self._clock = server_clock or clock.ServerClock()
        self._limit_bytes = limit_bytes
        self._retry_for_s = retry_for_s
        self._signer = signer
        self._confirmable: set[confirm.Level] = set()
        self._shards: dict[str, Sequence[str]] = {}
        self._turn = random.randrange(1 << 16)
        broker.connection.on_open = self._clock.doubt
        self.forget()
        renew_in_children(self)

    def forget(self) -> None:
        """Begin as another publisher: a child's requests are not its parent's; and a number in Redis may be forged."""
        self._nonce = ids.nonce()
        self._number = 0  # after the name: no number is used twice under one
        self._ids = ids.MessageIds(self._nonce)

    def close(self) -> None:
        """Close the connection; publishing again opens another one."""
        self.broker.connection.drop()

    def publish(
        self, queue: str, bodies: Iterable[Any], options: MessageOptions, published: list[str] | None = None
    ) -> list[str]:
        """Publish in order; returns the ids in order.

        Args:
            published: a list that gets the ids as soon as their messages are stored; it is what is returned.

        Raises (each error, an interrupt too, has the ids of the messages that are stored as `published_ids`):
            EncodeError, PayloadTooLargeError: of any body; then none was published.
            QueueNotFoundError: none was published, unless the queue was deleted meanwhile.
            ConfigurationError: the server cannot confirm what `options` asks for; none was published.
            NotConfirmedError: the confirmation has not come in time; the batch under way is stored.
            BrokerFullError, BrokerUnavailableError: the two batches under way when Redis went away may have been
                published too.
        """
        if published is None:
            published = []
        try:
            self._publish(queue, bodies, options, published)
        except BaseException as error:
            if isinstance(error, QueueNotFoundError):
                self._shards.pop(queue, None)  # it may be created anew in another number
            if isinstance(error, BrokerReplyError):
                self.forget()
            tell_published(error, published)
            raise
        return published

    def _publish(self, queue: str, bodies: Iterable[Any], options: MessageOptions, published: list[str]) -> None:
        self.broker.keys(queue)  # a bad name is said before anything else
        header = options.header()
        limit_bytes = self._limit_bytes
        if self._encode is None:
            envelopes = [header + encode_body(body, limit_bytes) for body in bodies]
        else:
            envelopes = [header + self._encoded(body, self._encode) for body in bodies]
        level = confirm.level_of(options.confirm) if options.confirm else None
        if level is not None and level not in self._confirmable:
            self._insist(partial(confirm.check, self.broker, queue, level))
            self._confirmable |= set() if level.disk else {level}  # an append-only file can be switched off
        if not envelopes:
            return
        shards = self._shards.get(queue) or self._ask_shards(queue)
        if self._clock.is_due():
            self._insist(self._ask_time)
        priority, delay_ms = options.priority, options.delay_ms(self._clock.micros()) if options.delay_s else 0
        if len(envelopes) == 1:
            published += self._send_to_one(queue, shards, envelopes, delay_ms, priority, level)
            return
        most = BATCH_MESSAGES if len(shards) == 1 else SHARD_BATCH_MESSAGES
        parts = list(batches(envelopes, most))
        if len(parts) == 1 or len(shards) > 1 or level is not None or self.broker.connection.spans_nodes:
            for part in parts:
                published += self._send_to_one(queue, shards, part, delay_ms, priority, level)
                shards = self._shards[queue]
        else:
            for request in self._stream(queue, parts, delay_ms, priority):
                published += request.message_ids

    def _encoded(self, body: Any, encode: Encode) -> bytes:
        """What is plain JSON stays as it is."""
        try:
            return encode_body(body, self._limit_bytes)
        except EncodeError:
            return encode_body(converted(body, encode), self._limit_bytes)

    def _ask_time(self) -> None:
        self._clock.sync(*self.broker.time())

    def _ask_shards(self, queue: str) -> Sequence[str]:
        """The queue itself, if it has no others."""

        def ask() -> None:
            self._shards[queue] = self.broker.shards(queue)

        self._insist(ask)
        return self._shards[queue]

    def _next_of(self, shards: Sequence[str]) -> str:
        """The shard whose turn it is."""
        self._turn += 1
        return shards[self._turn % len(shards)]

    def _stream(self, queue: str, parts: Sequence[Sequence[bytes]], delay_ms: int, priority: int) -> Iterator[Request]:
        """The requests that publish them, each once it is stored; they are sent ahead."""
        broker = self.broker

        def send(request: Request, before: int) -> None:
            numbers = request.number, before
            broker.send_publish(queue, self._nonce, numbers, delay_ms, priority, request.entries())

        def store(request: Request) -> None:
            self._insist(lambda: self._store(queue, request, delay_ms, priority))

        stream = PublishStream(send, lambda: broker.has_published(queue), store, broker.connection.drop)
        return stream.stored(self._request(queue, part) for part in parts)

    def _send_to_one(
        self,
        queue: str,
        shards: Sequence[str],
        envelopes: Sequence[bytes],
        delay_ms: int,
        priority: int,
        level: confirm.Level | None,
    ) -> Sequence[str]:
        """`_send` to the shard whose turn it is. If that is gone, the queue may have been created anew with others."""
        shard = self._next_of(shards)
        try:
            return self._send(shard, envelopes, delay_ms, priority, level)
        except QueueNotFoundError:
            now = self._ask_shards(queue)
            if shard in now:
                raise QueueNotFoundError(queue) from None
            return self._send(self._next_of(now), envelopes, delay_ms, priority, level)

    def _send(
        self, queue: str, envelopes: Sequence[bytes], delay_ms: int, priority: int, level: confirm.Level | None
    ) -> Sequence[str]:
        """Publish by one request, and have it confirmed if a level asks for that; returns the ids."""
        request = self._request(queue, envelopes)
        if level is None:
            try:
                self._store(queue, request, delay_ms, priority)
            except BrokerUnavailableError as error:
                self._hold_out(partial(self._store, queue, request, delay_ms, priority), error)
            return request.message_ids
        reached = 0

        def store() -> None:
            nonlocal reached
            self._store(queue, request, delay_ms, priority)
            reached = confirm.wait(self.broker, queue, self._nonce, request.number, level)

        self._insist(store)
        if reached < (level.replicas or 1):
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
        self.broker.publish(queue, self._nonce, request.number, delay_ms, priority, request.entries())

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


def tell_published(error: BaseException, published: list[str]) -> None:
    """Note on an error which messages are stored all the same: `published_ids`."""
    try:
        error.published_ids = published  # type: ignore[attr-defined]  # facts for the caller
    except (AttributeError, TypeError):
        return  # an error of the user's that takes none
