"""The client: its connections, and consuming in this process. It also publishes, and asks for results and queues."""

from __future__ import annotations

import math
from datetime import timedelta
from types import TracebackType
from typing import Any, Callable, Iterable, Sequence, TypeVar

from bizzmq.admin.arguments import checked_name
from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import Terms
from bizzmq.connection.factory import connect
from bizzmq.consumer.handlers.handler import Handler, UserHandler
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.control.control_client import ControlClient
from bizzmq.dead_letters.client import DeadLetterClient
from bizzmq.embedded import server as embedded
from bizzmq.errors import BizzMQError, ClosedError
from bizzmq.message import MessageOptions
from bizzmq.middleware.checks import all_checked
from bizzmq.protocol.encryption import EncryptionKeys
from bizzmq.protocol.sealing import Decode, Sealer, decoder
from bizzmq.protocol.secret_keys import Key
from bizzmq.publisher.client_settings import FROM_ENVIRONMENT, checked_settings
from bizzmq.publisher.conversion import body_encoder
from bizzmq.publisher.pool import PublisherPool
from bizzmq.publisher.publisher import Publisher
from bizzmq.publisher.publishing_client import PublishingClient
from bizzmq.queue import QueueOptions
from bizzmq.results.reader import ResultReaders
from bizzmq.results.result_client import ResultClient
from bizzmq.schedules.client import Encoding, ScheduleClient
from bizzmq.schedules.schedule import Schedule
from bizzmq.utils.clock import ServerClock
from bizzmq.utils.object_pool import LIMIT
from bizzmq.utils.redaction import redact
from bizzmq.validation import checks

T = TypeVar("T")


class BizzMQ(PublishingClient, DeadLetterClient, ControlClient, ResultClient, ScheduleClient):
    """A client for the queues on a Redis server. A context manager that several threads can share.

    After `close` every method raises ClosedError; closing or stopping again is harmless.

    Args:
        redis_url: `redis://`, `rediss://` or `unix://`; `embedded://` for a private server; `redis+sentinel://` or
            `redis+cluster://` for several servers (see docs/operations/scale-out.md). The default is BIZZMQ_REDIS_URL,
            the content of the file named by BIZZMQ_REDIS_URL_FILE, REDIS_URL, or `redis://localhost:6379/0`, as for
            the commands; in a pool's handler it is the pool's URL.
        signing_keys: the first key signs published messages, and consumed messages must be signed with one of the
            keys (see docs/operations/security.md). Each key is bytes or base64 text, of at least 32 bytes. None
            neither signs nor checks.
        max_connections: how many threads can publish or query at the same time; others wait up to 10 s for a
            connection. Each consumer uses two more connections (see docs/operations/connections.md).
        encode: a function that gets each value of a body that JSON cannot express (a datetime, a Decimal, a numpy
            number) and returns a JSON value. None refuses such bodies.
        middleware: code around what this client publishes and what its consumers run; see `bizzmq.Middleware`.
        compress_above_bytes: bodies whose JSON is larger are stored compressed: with zstd where the extra `compression`
            is installed, else with gzip. None compresses none. Every consumer of this release reads them.
        encryption_keys: id -> key of 32 bytes, as bytes or base64 text: the first one encrypts the bodies of published
            messages, and all of them decrypt (extra `encryption`; see docs/guide/large-and-secret-bodies.md). None
            encrypts none.

    Raises:
        ConfigurationError: the URL, a key, or another argument is invalid.
        BrokerUnavailableError: the server cannot be reached; raised within 5 seconds.
    """

    def __init__(
        self,
        redis_url: str = FROM_ENVIRONMENT,
        *,
        signing_keys: Sequence[Key] | None = None,
        max_connections: int = LIMIT,
        encode: Callable[[Any], Any] | None = None,
        middleware: Sequence[Any] = (),
        compress_above_bytes: int | None = None,
        encryption_keys: EncryptionKeys | None = None,
    ) -> None:
        settings = checked_settings(
            redis_url, signing_keys, max_connections, encode, compress_above_bytes, encryption_keys
        )
        self._encode, self._sealer = settings.encode, settings.sealer
        self._middlewares = all_checked(middleware)
        self._closed = False
        self._server = embedded.join(settings.url) if settings.is_embedded else None
        self._url = self._server.url if self._server else settings.url
        self._consumers: list[InProcessConsumer] = []
        self._clock = ServerClock()
        self._publishers = PublisherPool(self._new_publisher, settings.limit)
        self._with_publisher = self._publishers.use
        self._result_readers = ResultReaders(self._new_broker, self._read_shards, self._require_open)
        try:
            self._check_server()
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

    def _check_server(self) -> None:
        """Raise BrokerUnavailableError unless the server answers within 5 seconds."""
        broker = self._new_broker(timeout_s=2.5)
        try:
            broker.ping()
        finally:
            broker.connection.drop()

    def _new_broker(self, timeout_s: float = 5.0) -> Broker:
        ensure = self._server.ensure if self._server else None
        return Broker(connect(self._url, connect_timeout_s=2.0, timeout_s=timeout_s, before_open=ensure))

    def _execute(self, action: Callable[[Broker], T]) -> T:
        return self._publishers.execute(action)

    def _read_shards(self, queue: str) -> list[str]:
        return self._execute(lambda broker: broker.shards(queue))

    def _new_publisher(self) -> Publisher:
        return Publisher(self._new_broker(), self._clock, sealer=self._sealer, encode=self._encode)

    def _edit_settings(self) -> tuple[Sealer | None, Callable[[Any], bytes]]:
        return self._sealer, body_encoder(self._encode)

    def close(self) -> None:
        """Stop all consumers, wait for their running messages, and close all connections. May be called again.

        A call that is in progress in another thread is completed first; its connection is closed afterwards.
        """
        self._stop_consumers()  # handlers may use this client until they end
        self._closed = True
        self._stop_consumers()
        self._publishers.close()
        self._result_readers.close()
        if self._server is not None:
            self._server.close()

    def _stop_consumers(self) -> None:
        while self._consumers:
            consumer = self._consumers[-1]
            consumer.stop()
            self._forget(consumer)

    def _forget(self, consumer: InProcessConsumer) -> None:
        try:
            self._consumers.remove(consumer)
        except ValueError:
            return  # another thread or a handler has closed the client in the meantime

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this client is closed; make a new one")

    def _encoding(self) -> Encoding:
        self._require_open()
        return Encoding(body_encoder(self._encode), self._sealer)

    def _publish_encoded(self, schedule: Schedule) -> str:
        terms = Terms(schedule.delay_ms, schedule.priority, schedule.terms.expires_ms, schedule.terms.kept_until)
        facts = schedule.queue, schedule.envelope, schedule.terms.unique_key, terms
        return self._with_publisher(lambda publisher: [publisher.publish_encoded(*facts)])[0]

    def consume_message_from_queue(self, queue_name: str, handler: UserHandler) -> Callable[[], None]:
        """Start to handle this queue's messages in a background thread of this process, one at a time.

        The handler gets the body, and a Context if it takes a second argument; it may be async. A message fails if
        its handler raises or returns an exception.

        Returns:
            A function that stops the consumer: it waits for the running message and releases the messages that have
            not started. It may be called again.

        Raises:
            ConfigurationError: the name is invalid, or the handler does not accept a message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._start_consuming(queue_name, handler, ConsumerOptions()).stop

    def consume_until_empty(
        self, queue_name: str, handler: UserHandler, timeout_s: float | timedelta | None = None
    ) -> int:
        """Handle this queue's messages until none is left. For tests and scripts.

        It also waits for delayed messages, for retries, and for messages that other consumers are handling. The
        handler is called in a thread, as by `consume_message_from_queue`.

        Args:
            timeout_s: seconds or a timedelta; None sets no limit.

        Returns:
            The number of handled messages; each retry counts.

        Raises:
            TimeoutError: the queue was not empty in time; the running message was finished, the others are released.
            ConfigurationError: the name is invalid, or the handler does not accept a message.
            ClosedError: the client is closed, or was closed before the queue was empty.
            BizzMQError: the consumer has failed; the log contains the reason.
            QueueNotFoundError, BrokerUnavailableError
        """
        limit_s = checks.seconds("timeout_s", timeout_s, otherwise=", or None") if timeout_s is not None else math.inf
        consumer = self._start_consuming(queue_name, handler, ConsumerOptions(burst=True))
        try:
            is_empty = consumer.ends_within(limit_s)
        finally:
            consumer.stop()
            self._forget(consumer)
        if not is_empty:
            raise TimeoutError(f"the queue {queue_name!r} was not empty within {limit_s:g} s")
        if consumer.ended is None:
            raise BizzMQError(f"the consumer of {queue_name!r} failed before the queue was empty: see the log")
        if consumer.ended is not ExitReason.BURST:
            raise ClosedError(f"this client was closed before the queue {queue_name!r} was empty")
        return consumer.handled

    def _start_consuming(self, queue_name: str, handler: UserHandler, options: ConsumerOptions) -> InProcessConsumer:
        self._require_open()
        name, chosen = checked_name(queue_name), Handler(handler, self._middlewares)
        consumer = InProcessConsumer(self._new_broker, name, chosen, sealer=self._sealer, options=options)
        for earlier in [one for one in self._consumers if one.is_stopped]:
            self._forget(earlier)
        self._consumers.append(consumer)  # before the start, so that `close` stops it even if the start is interrupted
        try:
            consumer.start()
        except BaseException as error:
            consumer.abandon()
            if isinstance(error, BizzMQError):
                self._forget(consumer)
            raise
        if self._closed:  # by another thread in the meantime, which may not have seen this consumer
            consumer.stop()
            self._require_open()
        return consumer


def publish_to_task(
    mq: BizzMQ, queue: str, bodies: Iterable[Any], options: MessageOptions, task: str, version: int
) -> list[str]:
    """Publish messages for a task, whose arguments the bodies are; returns the ids. For code of BizzMQ."""
    return mq._publish(queue, bodies, options, task, version)  # noqa: SLF001 - private to users, not to this module


def create_implicitly(mq: BizzMQ, queue: str) -> bool:
    """Create a queue as a pool does: with a dead-letter queue, and options that nobody has chosen. For code of BizzMQ.

    Returns whether it was created.
    """
    options = QueueOptions(config_dead_letter_queue=True)
    return mq._execute(lambda broker: broker.create(queue, options, implicit=True))  # noqa: SLF001 - as above


def new_broker(mq: BizzMQ) -> Broker:
    """A broker with a connection of its own on the client's server. For code of BizzMQ."""
    return mq._new_broker()  # noqa: SLF001 - as above


def decoder_of(mq: BizzMQ) -> Decode:
    """The function that decodes and checks the client's messages. For code of BizzMQ."""
    return decoder(mq._sealer)  # noqa: SLF001 - as above
