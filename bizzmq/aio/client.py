"""The client for asyncio: publish, consume beside the event loop, and everything that AsyncControlClient does."""

from __future__ import annotations

from types import TracebackType
from typing import Any, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence, TypeVar

from bizzmq.admin.arguments import checked_name
from bizzmq.aio.broker import AsyncBroker
from bizzmq.aio.connection.factory import AnyAsyncConnection, connect
from bizzmq.aio.consumer import LoopConsumer
from bizzmq.aio.consuming_client import AsyncConsumingClient
from bizzmq.aio.control_client import AsyncControlClient
from bizzmq.aio.dead_letters import AsyncDeadLetterClient
from bizzmq.aio.publisher import AsyncPublisher
from bizzmq.aio.publishers import AsyncPublisherPool
from bizzmq.aio.results import AsyncResultClient, AsyncResultReaders
from bizzmq.aio.schedules import AsyncScheduleClient
from bizzmq.aio.threads import in_thread
from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import Terms
from bizzmq.connection.factory import connect as connect_blocking
from bizzmq.consumer.handlers.handler import UserHandler
from bizzmq.consumer.options import ConsumerOptions
from bizzmq.embedded import server as embedded
from bizzmq.errors import ClosedError
from bizzmq.message import MessageOptions
from bizzmq.middleware.base import Publication
from bizzmq.middleware.checks import all_checked
from bizzmq.middleware.publishing import PublishingHooks
from bizzmq.middleware.registry import registered
from bizzmq.protocol.encryption import EncryptionKeys
from bizzmq.protocol.sealing import Sealer
from bizzmq.protocol.secret_keys import Key
from bizzmq.publisher.checked import PublishedIds
from bizzmq.publisher.client_settings import FROM_ENVIRONMENT, checked_settings
from bizzmq.publisher.conversion import body_encoder
from bizzmq.publisher.requests import set_published_ids
from bizzmq.queue import QueueOptions
from bizzmq.schedules.client import Encoding
from bizzmq.schedules.schedule import Schedule
from bizzmq.utils.clock import ServerClock
from bizzmq.utils.object_pool import LIMIT
from bizzmq.utils.redaction import redact
from bizzmq.validation import checks

T = TypeVar("T")
_DEFAULTS = MessageOptions()


class AsyncBizzMQ(
    AsyncDeadLetterClient, AsyncControlClient, AsyncResultClient, AsyncScheduleClient, AsyncConsumingClient
):
    """A client for asyncio, with the methods of BizzMQ. A context manager (`async with`) that many tasks can share.

    It works on the sockets of the event loop, without threads; only consumers have threads. The constructor neither
    waits nor connects: the first call does, and `async with` checks that the server answers. A cancelled call leaves
    nothing behind: its connection is closed unless no reply is due on it. In a forked child, and in another event loop,
    the client opens connections of its own.

    After `close` every method raises ClosedError; closing or stopping again is harmless.

    Args:
        redis_url, signing_keys, encode, middleware, compress_above_bytes, encryption_keys: as for BizzMQ.
        max_connections: how many tasks can publish or query at the same time, in each event loop. The others wait in
            turn, and fail if no connection becomes free for 10 s.

    Raises:
        ConfigurationError: the URL, a key, or another argument is invalid.
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
        self._settings = checked_settings(
            redis_url, signing_keys, max_connections, encode, compress_above_bytes, encryption_keys
        )
        self._sealer = self._settings.sealer
        self._middlewares = all_checked(middleware)
        self._closed = False
        self._consumers = []
        self._server: embedded.EmbeddedServer | None = None
        self._clock = ServerClock()
        self._publishers = AsyncPublisherPool(self._new_publisher, self._settings.limit)
        self._result_readers = AsyncResultReaders(self._prepare, self._new_connection, self._read_shards)

    def __repr__(self) -> str:
        return f"AsyncBizzMQ({redact(self._url)!r})"

    async def __aenter__(self) -> AsyncBizzMQ:
        """Check that the server answers. Raises BrokerUnavailableError."""
        await self._execute(lambda broker: broker.ping())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop all consumers, wait for their running messages, and close all connections. May be called again.

        A call that is in progress in another task is completed first; its connection is closed afterwards.
        """
        await self._stop_consumers()  # handlers may use this client until they end
        self._closed = True
        await self._stop_consumers()
        self._publishers.close()
        self._result_readers.close()
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _edit_settings(self) -> tuple[Sealer | None, Callable[[Any], bytes]]:
        return self._sealer, body_encoder(self._settings.encode)

    async def publish_message_to_queue(
        self, queue_name: str, message: Any, options: MessageOptions | None = None
    ) -> str:
        """As BizzMQ.publish_message_to_queue.

        Raises:
            CancelledError: the message may have been published. Its `published_ids` says whether it is known to be.
        """
        return (await self._publish(queue_name, [message], options))[0]

    async def publish_messages_to_queue(
        self, queue_name: str, messages: Iterable[Any] | AsyncIterable[Any], options: MessageOptions | None = None
    ) -> list[str]:
        """As BizzMQ.publish_messages_to_queue. The messages may come from an async iterable.

        Other tasks run while many messages are encoded.

        Raises:
            CancelledError: as for the other errors, its `published_ids` are the ids of the messages that are known to
                be published; up to 1,000 more may be.
        """
        is_one = isinstance(messages, (str, bytes, bytearray, memoryview, Mapping))
        if is_one or not isinstance(messages, (Iterable, AsyncIterable)):
            checks.refuse("messages", "a list or another iterable of messages", messages)
        if isinstance(messages, AsyncIterable):
            messages = [message async for message in messages]
        return await self._publish(queue_name, messages, options)

    async def _publish(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None, task: str = "", version: int = 1
    ) -> list[str]:
        wanted = _DEFAULTS if options is None else checks.instance("options", options, MessageOptions, _DEFAULTS)
        if type(queue_name) is not str:
            queue_name = checked_name(queue_name)
        published: list[str] = PublishedIds() if wanted.unique_key else []
        try:
            if registered or self._middlewares:
                hooks = PublishingHooks(self._middlewares, Publication(queue_name, messages, wanted, task, version))
                return await hooks.around_async(self._send, published)
            return await self._with_publisher(
                lambda publisher: publisher.publish(queue_name, messages, wanted, published, task, version)
            )
        except BaseException as error:
            set_published_ids(error, published)
            raise

    async def _send(self, one: Publication, published: list[str]) -> list[str]:
        return await self._with_publisher(
            lambda publisher: publisher.publish(one.queue, one.bodies, one.options, published, one.task, one.version)
        )

    def _encoding(self) -> Encoding:
        self._require_open()
        return Encoding(body_encoder(self._settings.encode), self._sealer)

    async def _publish_encoded(self, schedule: Schedule) -> str:
        terms = Terms(schedule.delay_ms, schedule.priority, schedule.terms.expires_ms, schedule.terms.kept_until)
        facts = schedule.queue, schedule.envelope, schedule.terms.unique_key, terms
        return await self._with_publisher(lambda publisher: publisher.publish_encoded(*facts))

    async def _new_consumer(self, queue_name: str, handler: UserHandler, options: ConsumerOptions) -> LoopConsumer:
        await self._prepare()
        name = checked_name(queue_name)
        return LoopConsumer(self._new_blocking_broker, name, handler, self._sealer, options, self._middlewares)

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this client is closed; make a new one")

    @property
    def _url(self) -> str:
        return self._server.url if self._server is not None else self._settings.url

    async def _prepare(self) -> None:
        """Check that the client is open. The first call starts an embedded server."""
        self._require_open()
        if self._settings.is_embedded and self._server is None:
            server = await in_thread(lambda: embedded.join(self._settings.url), embedded.EmbeddedServer.close)
            self._adopt(server)

    def _adopt(self, server: embedded.EmbeddedServer) -> None:
        """Keep an embedded server, unless another task was faster or has closed the client."""
        if self._server is None and not self._closed:
            self._server = server
        else:
            server.close()
            self._require_open()

    async def _ensure_server(self) -> None:
        if self._server is not None:
            await in_thread(self._server.ensure)

    def _new_blocking_broker(self) -> Broker:
        ensure = self._server.ensure if self._server else None
        return Broker(connect_blocking(self._url, connect_timeout_s=2.0, timeout_s=5.0, before_open=ensure))

    def _new_connection(self) -> AnyAsyncConnection:
        return connect(self._url, before_open=self._ensure_server if self._settings.is_embedded else None)

    async def _read_shards(self, queue: str) -> list[str]:
        return await self._execute(lambda broker: broker.shards(queue))

    def _new_publisher(self) -> AsyncPublisher:
        settings, connection = self._settings, self._new_connection()
        return AsyncPublisher(AsyncBroker(connection), self._clock, sealer=self._sealer, encode=settings.encode)

    async def _execute(self, action: Callable[[AsyncBroker], Awaitable[T]]) -> T:
        await self._prepare()
        return await self._publishers.execute(action)

    async def _with_publisher(self, action: Callable[[AsyncPublisher], Awaitable[T]]) -> T:
        await self._prepare()
        return await self._publishers.use(action)


async def publish_to_task(
    amq: AsyncBizzMQ, queue: str, bodies: Iterable[Any], options: MessageOptions, task: str, version: int
) -> list[str]:
    """Publish messages for a task, whose arguments the bodies are; returns the ids. For code of BizzMQ."""
    return await amq._publish(queue, bodies, options, task, version)  # noqa: SLF001 - private to users


async def create_implicitly(amq: AsyncBizzMQ, queue: str) -> bool:
    """As `bizzmq.client.create_implicitly`. For code of BizzMQ."""
    options = QueueOptions(config_dead_letter_queue=True)
    return await amq._execute(lambda broker: broker.create(queue, options, implicit=True))  # noqa: SLF001 - as above


async def new_broker(amq: AsyncBizzMQ) -> AsyncBroker:
    """A broker with a connection of its own, for the running event loop. For code of BizzMQ."""
    await amq._prepare()  # noqa: SLF001 - as above
    return amq._new_publisher().broker  # noqa: SLF001 - as above
