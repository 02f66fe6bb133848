"""BizzMQ: create queues, publish, consume in this process, and look at what a queue holds."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Callable, Iterable, Sequence

from bizzmq import embedded, signing
from bizzmq.background import BackgroundConsumer
from bizzmq.broker import Broker
from bizzmq.census import stats
from bizzmq.clock import ServerClock
from bizzmq.connections import connect
from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.handler import UserHandler
from bizzmq.logs import log
from bizzmq.message import MessageOptions
from bizzmq.publisher import Publisher
from bizzmq.queue import QueueOptions, QueueStats
from bizzmq.redaction import redact
from bizzmq.reservoir import Reservoir
from bizzmq.url import check_url

_DEFAULTS = MessageOptions()
_logger = logging.getLogger("bizzmq.client")


class BizzMQ:
    """A client of the queues on one Redis server. A context manager; usable from several threads.

    Args:
        redis_url: `redis://`, `rediss://`, `unix://`, or `embedded://` for a private server; `redis+sentinel://` and
            `redis+cluster://` for several (see docs/scale-out.md).
        signing_keys: with keys, what is published is signed with the first one, and what is consumed must be signed
            with any of them (see docs/security.md). Bytes, or base64; at least 32 bytes each.

    Raises:
        ConfigurationError: the URL is no such URL, or a key is none.
        BrokerUnavailableError: the server cannot be reached; said within 5 seconds.
    """

    def __init__(self, redis_url: str, *, signing_keys: Sequence[signing.Key] | None = None) -> None:
        redis_url = str(redis_url)
        self._signer = None if signing_keys is None else signing.Signer(signing_keys)
        self._server = embedded.join(redis_url) if embedded.is_embedded(redis_url) else None
        self._url = self._server.url if self._server else check_url(redis_url)
        self._consumers: list[BackgroundConsumer] = []
        self._clock = ServerClock()
        self._brokers = Reservoir(self._new_broker)
        self._publishers = Reservoir(lambda: Publisher(self._new_broker(), self._clock, signer=self._signer))
        try:
            self._check()
        except BizzMQError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"BizzMQ({redact(self._url)!r})"

    def __enter__(self) -> BizzMQ:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        """Reach the server within 5 seconds, or raise."""
        impatient = self._new_broker(timeout_s=2.5)
        try:
            impatient.ping()
        finally:
            impatient.connection.drop()

    def _new_broker(self, timeout_s: float = 5.0) -> Broker:
        ensure = self._server.ensure if self._server else None
        return Broker(connect(self._url, connect_timeout_s=2.0, timeout_s=timeout_s, before_open=ensure))

    def close(self) -> None:
        """Stop what still consumes, waiting for running messages, and close all connections."""
        for consumer in self._consumers:
            consumer.stop()
        self._consumers.clear()
        for broker in self._brokers.take_all():
            broker.connection.drop()
        for publisher in self._publishers.take_all():
            publisher.close()
        if self._server is not None:
            self._server.close()

    def create_queue(self, queue_name: str, options: QueueOptions | None = None) -> bool:
        """Create a queue, and its dead-letter queue if the options ask for one.

        Skipped if the queue exists: if its options differ from the given ones, that is a warning in the log. Where
        nobody has chosen the options of a queue, as that of a pool that was there first or of a dead-letter queue, it
        gets the given ones. Returns whether it was created, or got them.

        Raises:
            ConfigurationError: the name is not allowed.
            BrokerUnavailableError
        """
        broker = self._brokers.take()
        try:
            if options is None:
                return not broker.exists(queue_name) and broker.create(queue_name, QueueOptions())
            is_new = broker.create(queue_name, options)
            _warn_of_difference(broker, queue_name, options)
            return is_new
        finally:
            self._brokers.give_back(broker)

    def publish_message_to_queue(self, queue_name: str, message: Any, options: MessageOptions | None = None) -> str:
        """Publish one JSON value; returns the message's id once Redis has stored it.

        Raises:
            QueueNotFoundError: the queue was never created.
            EncodeError: the message is not JSON.
            PayloadTooLargeError: it is larger than 1 MiB as JSON.
            NotConfirmedError: it is stored, but not confirmed as `options.confirm` asks.
            BrokerFullError: Redis is at its memory limit.
            BrokerUnavailableError: Redis stayed away for 10 s; the message may have been published.
        """
        return self._publish(queue_name, [message], options)[0]

    def publish_messages_to_queue(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None = None
    ) -> list[str]:
        """Publish many, all with the same options; returns their ids in order.

        Every message is encoded before the first one is sent: if one is not JSON or too large, none is
        published. Raises as `publish_message_to_queue` does; the error's `published_ids` then tells
        which ones were published before it.
        """
        return self._publish(queue_name, messages, options)

    def _publish(self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None) -> list[str]:
        publisher = self._publishers.take()
        try:
            return publisher.publish(queue_name, messages, options or _DEFAULTS)
        finally:
            self._publishers.give_back(publisher)

    def consume_message_from_queue(self, queue_name: str, handler: UserHandler) -> Callable[[], None]:
        """Start handling this queue's messages in the background of this process.

        The handler runs in a thread, one message at a time. It gets the body, and a Context if it takes a
        second argument; it may be async. It fails by raising or returning an exception.

        Returns a function that stops consuming: it waits for the running message, gives back what has not
        started, and may be called twice.

        Raises:
            QueueNotFoundError, BrokerUnavailableError
        """
        decode = signing.decoder(self._signer)
        consumer = BackgroundConsumer(self._new_broker, queue_name, handler, decode=decode)
        consumer.start()
        self._consumers.append(consumer)
        return consumer.stop

    def stats(self, queue_name: str) -> QueueStats:
        """Count what the queue holds. Raises QueueNotFoundError or BrokerUnavailableError."""
        broker = self._brokers.take()
        try:
            return stats(broker, queue_name)
        finally:
            self._brokers.give_back(broker)


def _warn_of_difference(broker: Broker, queue: str, asked: QueueOptions) -> None:
    """Say which options of a queue are not those that were asked for. That it may not be asked is no failure."""
    try:
        difference = asked.difference(broker.options(queue))
    except DecodeError as error:
        difference = str(error)
    except BizzMQError:
        return
    if difference:
        log(_logger, logging.WARNING, "the queue exists with other options, which stay", queue=queue,
            options=difference)  # fmt: skip
