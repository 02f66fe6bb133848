"""BizzMQ: create queues, publish, consume in this process, and look at what a queue holds."""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from types import TracebackType
from typing import Any, Callable, Iterable, Mapping, Sequence, TypeVar

from bizzmq import checks, embedded, server_url, signing
from bizzmq.background import BackgroundConsumer
from bizzmq.broker import Broker
from bizzmq.census import stats
from bizzmq.clock import ServerClock
from bizzmq.connections import connect
from bizzmq.errors import BizzMQError, BrokerUnavailableError, ClosedError, ConfigurationError, DecodeError
from bizzmq.handler import UserHandler
from bizzmq.logs import log
from bizzmq.loop import ConsumerOptions
from bizzmq.message import MessageOptions
from bizzmq.publisher import Publisher, tell_published
from bizzmq.queue import QueueOptions, QueueStats
from bizzmq.redaction import redact
from bizzmq.reservoir import LIMIT, Reservoir
from bizzmq.url import check_url

T = TypeVar("T")
_DEFAULTS = MessageOptions()
_logger = logging.getLogger("bizzmq.client")
_FROM_ENVIRONMENT = "(from the environment)"
"""No address, but that none was given: so None, as from a variable that is not set, is not taken for it."""


class BizzMQ:
    """A client of the queues on one Redis server. A context manager; usable from several threads.

    After `close` it cannot be used any more: every method raises ClosedError, but closing and stopping again are
    harmless.

    Args:
        redis_url: `redis://`, `rediss://`, `unix://`, or `embedded://` for a private server; `redis+sentinel://` and
            `redis+cluster://` for several (see docs/scale-out.md). Without one it is that of BIZZMQ_REDIS_URL, of the
            file that BIZZMQ_REDIS_URL_FILE names, of REDIS_URL, or `redis://localhost:6379/0`, as for the commands;
            in a pool's handler it is the pool's.
        signing_keys: with keys, what is published is signed with the first one, and what is consumed must be signed
            with any of them (see docs/security.md). Bytes, or base64; at least 32 bytes each.
        max_connections: how many threads publish and ask at the same time; others wait for them, 10 s at most. Each
            consumer has two more (see docs/connections.md).
        encode: called with each value of a body that JSON lacks (a datetime, a Decimal, numpy's numbers); returns what
            stands for it. Bodies that are plain JSON are published as they are. Without it they are refused.

    Raises:
        ConfigurationError: the URL is no such URL, or a key is none, or the number is none.
        BrokerUnavailableError: the server cannot be reached; said within 5 seconds.
    """

    def __init__(
        self,
        redis_url: str = _FROM_ENVIRONMENT,
        *,
        signing_keys: Sequence[signing.Key] | None = None,
        max_connections: int = LIMIT,
        encode: Callable[[Any], Any] | None = None,
    ) -> None:
        if redis_url is _FROM_ENVIRONMENT:
            redis_url = server_url.from_environment()
        redis_url = checks.secret("redis_url", redis_url)
        limit = checks.integer("max_connections", max_connections, 1)
        if encode is not None and not callable(encode):
            raise ConfigurationError(f"encode must be a function or None, not {checks.shown(encode)}")
        self._encode = encode
        self._closed = False
        self._signer = None if signing_keys is None else signing.Signer(signing_keys)
        self._server = embedded.join(redis_url) if embedded.is_embedded(redis_url) else None
        self._url = self._server.url if self._server else check_url(redis_url)
        self._consumers: list[BackgroundConsumer] = []
        self._clock = ServerClock()
        users = (BizzMQ._lent.__code__,)
        self._publishers = Reservoir(self._new_publisher, users, limit=limit)
        try:
            self._check()
        except BizzMQError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"BizzMQ({redact(self._url)!r})"

    def __enter__(self) -> BizzMQ:
        self._require_open()
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

    def _new_publisher(self) -> Publisher:
        return Publisher(self._new_broker(), self._clock, signer=self._signer, encode=self._encode)

    def close(self) -> None:
        """Stop what still consumes, waiting for running messages, and close all connections. May be called again.

        A call that another thread has begun ends as if the client were open, and its connection is closed then.
        """
        self._stop_consumers()  # their handlers may use this client until they have ended
        self._closed = True
        self._stop_consumers()
        self._publishers.close()
        if self._server is not None:
            self._server.close()

    def _stop_consumers(self) -> None:
        while self._consumers:
            consumer = self._consumers[-1]
            consumer.stop()
            if consumer in self._consumers:
                self._consumers.remove(consumer)

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this client is closed; make a new one")

    def create_queue(self, queue_name: str, options: QueueOptions | None = None) -> bool:
        """Create a queue, and its dead-letter queue if the options ask for one.

        Skipped if the queue exists: if its options differ from the given ones, that is a warning in the log. Where
        nobody has chosen the options of a queue, as that of a pool that was there first or of a dead-letter queue, it
        gets the given ones. Returns whether it was created, or got them.

        Raises:
            ConfigurationError: the name is not allowed, or the options are none.
            BrokerUnavailableError, ClosedError
        """
        queue_name = _queue(queue_name)
        checks.instance("options", options, QueueOptions, QueueOptions())
        return self._ask(lambda broker: _create(broker, queue_name, options))

    def publish_message_to_queue(self, queue_name: str, message: Any, options: MessageOptions | None = None) -> str:
        """Publish one JSON value; returns the message's id once Redis has stored it.

        Raises:
            QueueNotFoundError: the queue was never created.
            ConfigurationError: the name is not allowed, or the options are none.
            ClosedError: the client was closed.
            EncodeError: the message is not JSON, or nested more than 200 levels deep.
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
        which ones were published before it. If `messages` raises while it is read, none is published either.
        """
        if isinstance(messages, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(messages, Iterable):
            checks.refuse("messages", "a list or another iterable of messages", messages)
        return self._publish(queue_name, messages, options)

    def _publish(self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None) -> list[str]:
        wanted = _DEFAULTS if options is None else checks.instance("options", options, MessageOptions, _DEFAULTS)
        if type(queue_name) is not str:
            queue_name = _queue(queue_name)
        published: list[str] = []
        try:
            return self._lent(lambda publisher: publisher.publish(queue_name, messages, wanted, published))
        except BaseException as error:
            tell_published(error, published)
            raise

    def consume_message_from_queue(self, queue_name: str, handler: UserHandler) -> Callable[[], None]:
        """Start handling this queue's messages in the background of this process.

        The handler runs in a thread, one message at a time. It gets the body, and a Context if it takes a
        second argument; it may be async. It fails by raising or returning an exception.

        Returns a function that stops consuming: it waits for the running message, gives back what has not
        started, and may be called twice.

        Raises:
            ConfigurationError: the name is not allowed, or the handler cannot take a message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._start_consuming(queue_name, handler, ConsumerOptions()).stop

    def consume_until_empty(
        self, queue_name: str, handler: UserHandler, timeout_s: float | timedelta | None = None
    ) -> int:
        """Handle this queue's messages until none is left: for tests and scripts. Returns how many were run.

        That includes what is delayed, what fails and is retried, and what others are handling: it is waited for. The
        handler is called as by `consume_message_from_queue`, in a thread.

        Args:
            timeout_s: seconds or a timedelta; None waits as long as it takes.

        Raises:
            TimeoutError: the queue was not empty in time; what runs was finished, the rest is given back.
            ConfigurationError: the name is not allowed, or the handler cannot take a message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        limit_s = checks.seconds("timeout_s", timeout_s, otherwise=", or None") if timeout_s is not None else math.inf
        consumer = self._start_consuming(queue_name, handler, ConsumerOptions(burst=True))
        try:
            is_empty = consumer.ends_within(limit_s)
        finally:
            consumer.stop()
            self._consumers.remove(consumer)
        if not is_empty:
            raise TimeoutError(f"the queue {queue_name!r} was not empty within {limit_s:g} s")
        return consumer.handled

    def _start_consuming(self, queue_name: str, handler: UserHandler, options: ConsumerOptions) -> BackgroundConsumer:
        self._require_open()
        decode = signing.decoder(self._signer)
        consumer = BackgroundConsumer(self._new_broker, _queue(queue_name), handler, decode=decode, options=options)
        self._consumers.append(consumer)  # first: `close` ends it, whatever interrupts its start
        try:
            consumer.start()
        except BaseException as error:
            consumer.abandon()
            if isinstance(error, BizzMQError):
                self._consumers.remove(consumer)
            raise
        if self._closed:  # meanwhile, by another thread, which may not have seen this consumer
            consumer.stop()
            self._require_open()
        return consumer

    def stats(self, queue_name: str) -> QueueStats:
        """Count what the queue holds. Raises QueueNotFoundError, BrokerUnavailableError or ClosedError."""
        queue_name = _queue(queue_name)
        return self._ask(lambda broker: stats(broker, queue_name))

    def _ask(self, action: Callable[[Broker], T]) -> T:
        """The result of an action that is safe to repeat: once more, over a new connection, if an old one fails."""

        def ask(publisher: Publisher) -> T:
            connection = publisher.broker.connection
            connection.refresh()
            is_old = connection.is_open
            try:
                return action(publisher.broker)
            except BrokerUnavailableError:
                if not is_old:
                    raise
                connection.drop()
                return action(publisher.broker)

        return self._lent(ask)

    def _lent(self, use: Callable[[Publisher], T]) -> T:
        """What comes of using a publisher that nobody else has meanwhile.

        A use that is interrupted gives nothing back, so that nobody gets what is half done.
        """
        publisher = self._publishers.take()
        try:
            result = use(publisher)
        except BizzMQError:
            self._publishers.give_back(publisher)
            raise
        except BaseException:
            self._publishers.lose(publisher)
            raise
        self._publishers.give_back(publisher)
        return result


def _create(broker: Broker, queue: str, options: QueueOptions | None) -> bool:
    """Create a queue; whether it is new."""
    if options is None:
        return not broker.exists(queue) and broker.create(queue, QueueOptions())
    is_new = broker.create(queue, options)
    _warn_of_difference(broker, queue, options)
    return is_new


def _warn_of_difference(broker: Broker, queue: str, asked: QueueOptions) -> None:
    """Say which options of a queue are not those that were asked for. That it may not be asked is no failure."""
    try:
        difference = asked.difference(broker.options(queue))
    except DecodeError as error:
        difference = str(error)
    except BizzMQError:
        return
    if difference:
        # In the sentence and not in fields: a program that logs in its own way shows no fields.
        log(_logger, logging.WARNING, f"queue {queue!r} exists with other options, which stay: {difference}")


def _queue(name: Any) -> str:
    """The name of a queue; QueueKeys says which are allowed."""
    return checks.text("queue_name", name, "a text, the name of a queue, and goes before the message or the handler")
