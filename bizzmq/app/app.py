"""The app: a set of tasks, their defaults, and the Redis that they live on."""

from __future__ import annotations

import os
import sys
import threading
from types import SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    List,
    Mapping,
    Sequence,
    TypeVar,
)

from bizzmq.app import async_publishing
from bizzmq.app.batches import alike
from bizzmq.app.dispatcher import Dispatcher
from bizzmq.app.for_tests import AppForTests
from bizzmq.app.handle import Clients, Handle, StandIn, handles_of
from bizzmq.app.registry import TaskRegistry, checked_queue_name
from bizzmq.app.schedules import ScheduleRegistry
from bizzmq.app.task import R, TaskMessage, TaskPublisher
from bizzmq.client import BizzMQ, create_implicitly, publish_to_task
from bizzmq.errors import BrokerUnavailableError, ConfigurationError, QueueNotFoundError, UnknownTaskError
from bizzmq.failure_policy import ErrorClasses, RetryDelays, failure_policy
from bizzmq.protocol import encryption, signing
from bizzmq.protocol.encryption import EncryptionKeys
from bizzmq.protocol.sealing import checked_size
from bizzmq.protocol.secret_keys import Key
from bizzmq.results.result_client import checked_id
from bizzmq.utils import server_url
from bizzmq.utils.object_pool import LIMIT
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

if TYPE_CHECKING:
    from bizzmq.aio.client import AsyncBizzMQ

H = TypeVar("H", bound=Callable[..., Any])
M = TypeVar("M")
DEFAULT_QUEUE = "default"


class App(TaskRegistry, ScheduleRegistry, AppForTests):
    """A set of tasks. Nothing is connected before the first message is published.

    `bizzmq-worker MODULE:APP` runs a pool for its tasks, on all of its queues.

    Args:
        redis_url: as for BizzMQ. The default is BIZZMQ_REDIS_URL, the content of the file named by
            BIZZMQ_REDIS_URL_FILE, REDIS_URL, or `redis://localhost:6379/0`, read at the first use. In a pool's worker
            it is the pool's server, also if the app names another one.
        queue: the queue of tasks that name none.
        max_retries, timeout_s, retry_on, dead_letter_on, retry_delays_s, retry_for_s: as for `task`; they apply where
            neither the task nor a chosen option of the queue says anything.
        signing_keys: as for BizzMQ. The default is BIZZMQ_SIGNING_KEYS, as for the commands.
        max_connections: as for BizzMQ.
        middleware: code around publishing and running the app's tasks, in this order; see `bizzmq.Middleware`.
        unknown_task_limit_s: how long a message waits for a worker that knows its task and version, seconds or a
            timedelta; then it is dead-lettered.

    Attributes:
        state: a namespace of the process, for what a hook opens: `app.state.engine = create_engine(...)`.
        unknown_task_limit_s: as given, seconds.

    Raises:
        ConfigurationError: a value is invalid.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        queue: str = DEFAULT_QUEUE,
        max_retries: int | None = None,
        timeout_s: Seconds | None = None,
        retry_on: ErrorClasses | None = None,
        dead_letter_on: ErrorClasses | None = None,
        retry_delays_s: RetryDelays | None = None,
        retry_for_s: Seconds | None = None,
        signing_keys: Sequence[Key] | None = None,
        max_connections: int = LIMIT,
        middleware: Sequence[Any] = (),
        unknown_task_limit_s: Seconds = UnknownTaskError.limit_s,
        compress_above_bytes: int | None = None,
        encryption_keys: EncryptionKeys | None = None,
    ) -> None:
        TaskRegistry.__init__(self, queue, middleware)
        ScheduleRegistry.__init__(self, sys._getframe(1).f_globals.get("__name__", ""))  # noqa: SLF001 - the app's module
        self._redis_url = None if redis_url is None else checks.secret("redis_url", redis_url)
        self._policy = failure_policy(max_retries, timeout_s, retry_on, dead_letter_on, retry_delays_s, retry_for_s)
        self._signing_keys, self._encryption_keys = signing_keys, encryption_keys
        self._compress_above = None if compress_above_bytes is None else checked_size(compress_above_bytes)
        self._max_connections = max_connections
        self.unknown_task_limit_s = checks.seconds("unknown_task_limit_s", unknown_task_limit_s)
        self._client: BizzMQ | None = None
        self._async_client: AsyncBizzMQ | None = None
        self._lock = threading.Lock()
        self.state = SimpleNamespace()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it at the fork

    def _publisher(self) -> TaskPublisher:
        return self

    def __repr__(self) -> str:
        return f"App({len(self.tasks)} tasks, queues={list(self.queues)!r})"

    @property
    def redis_url(self) -> str:
        """The URL of the server. Raises ConfigurationError if a file with it cannot be read."""
        return server_url.from_environment() if self._redis_url is None else self._redis_url

    @property
    def own_redis_url(self) -> str:
        """The URL that was given to the app, or ""."""
        return self._redis_url or ""

    def use_server(self, redis_url: str) -> None:
        """Publish to this server from now on. A pool's worker calls it with the pool's server."""
        if redis_url != self._redis_url:
            self._redis_url = redis_url
            self.close()

    @property
    def client(self) -> BizzMQ:
        """The client of this app, connected at its first use. `close` closes it.

        Raises:
            ConfigurationError: the URL is invalid.
            BrokerUnavailableError: the server cannot be reached; raised within 5 seconds.
        """
        if self._double is not None:
            return self._double
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._connected()
        return self._client

    def _client_options(self) -> Mapping[str, Any]:
        own, secret = self._signing_keys, self._encryption_keys
        return {
            "signing_keys": signing.keys_from_environment() if own is None else own,
            "encryption_keys": encryption.keys_from_environment() if secret is None else secret,
            "compress_above_bytes": self._compress_above,
            "max_connections": self._max_connections,
            "middleware": self._middlewares,
        }

    def _connected(self) -> BizzMQ:
        url = self.redis_url
        try:
            return BizzMQ(url, **self._client_options())
        except BrokerUnavailableError as error:
            if url != server_url.DEFAULT_URL:
                raise
            raise BrokerUnavailableError(
                f"{str(error).rstrip('.')}; the app has no other URL: set {server_url.VARIABLE}, or write App('redis://...')"
            ) from error

    def close(self) -> None:
        """Close the client. The app can be used again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def publish_messages(self, messages: Sequence[TaskMessage[R]]) -> List[Handle[R]]:
        """Publish messages of tasks, those that follow each other with the same task and options together.

        Returns:
            The handles, in the order of the messages.

        Raises:
            BizzMQError: as `BizzMQ.publish_messages_to_queue`; its `published_ids` are those of the messages that were
                published before the error.
        """
        handles: List[Handle[R]] = []
        for first, bodies in alike(messages):
            handles += self._publish(first, bodies)
        return handles

    def _publish(self, first: TaskMessage[R], bodies: Sequence[Any]) -> List[Handle[R]]:
        """Publish messages that differ from the first one in their bodies only."""
        client, task, queue, options = self.client, first.task, first.queue, first.options
        try:
            ids = publish_to_task(client, queue, bodies, options, task.name, task.version)
        except QueueNotFoundError:
            self.create_queue(queue)
            ids = publish_to_task(client, queue, bodies, options, task.name, task.version)
        return self._handles(first, ids)

    def _clients(self) -> Clients:
        return self if self._double is None else StandIn(self._double)

    def _handles(self, first: TaskMessage[R], ids: Sequence[str]) -> List[Handle[R]]:
        task, keeps_result = first.task, first.options.result_ttl_s > 0
        return handles_of(self._clients(), ids, first.queue, task.name, task.arguments.decode_result, keeps_result)

    @property
    def aclient(self) -> AsyncBizzMQ:
        """The client of this app for asyncio. It connects at its first call; `aclose` closes it.

        Raises:
            ConfigurationError: the URL is invalid.
        """
        if self._async_client is None:
            with self._lock:
                if self._async_client is None:
                    self._async_client = async_publishing.client(self.redis_url, self._client_options())
        return self._async_client

    async def aclose(self) -> None:
        """Close the client for asyncio. The app can be used again."""
        with self._lock:
            client, self._async_client = self._async_client, None
        if client is not None:
            await client.close()

    async def apublish_messages(self, messages: Sequence[TaskMessage[R]]) -> List[Handle[R]]:
        """As `publish_messages`, for asyncio. A cancelled call may have published some of the messages."""
        handles: List[Handle[R]] = []
        for first, bodies in alike(messages):
            handles += await self._apublish(first, bodies)
        return handles

    async def _apublish(self, first: TaskMessage[R], bodies: Sequence[Any]) -> List[Handle[R]]:
        if self._double is not None:
            return self._publish(first, bodies)
        client, queue = self.aclient, first.queue
        call = client, queue, bodies, first.options, first.task.name, first.task.version
        try:
            ids = await async_publishing.publish(*call)
        except QueueNotFoundError:
            await self.acreate_queue(queue)
            ids = await async_publishing.publish(*call)
        return self._handles(first, ids)

    async def acreate_queue(self, queue: str) -> bool:
        """As `create_queue`, for asyncio."""
        options = self._queues.get(queue)
        if options is None:
            return await async_publishing.create_implicitly(self.aclient, queue)
        return await self.aclient.create_queue(queue, options)

    def handle(self, message_id: str, *, queue: str) -> Handle[Any]:
        """The handle of a message that was published before, for example by another process. Nothing is requested.

        `Task.handle` decodes the result by the annotation of the task; this one returns it as JSON values.

        Args:
            queue: the queue that it was published to.

        Raises:
            ConfigurationError: the id or the queue's name is invalid.
        """
        return self.handle_of(message_id, queue, "", lambda value: value)

    def handle_of(self, message_id: str, queue: str, task: str, decode: Callable[[Any], Any]) -> Handle[Any]:
        """The handle of a message that was published before."""
        name = checked_queue_name(queue)
        return Handle(self._clients(), checked_id(message_id), name, task, decode, keeps_result=None)

    def create_queue(self, queue: str) -> bool:
        """Create a queue of this app if it is missing: with its declared options, or as a pool creates it.

        Returns:
            Whether the queue was created, or took the declared options.
        """
        options = self._queues.get(queue)
        if options is None:
            return create_implicitly(self.client, queue)
        return self.client.create_queue(queue, options)

    def dispatcher(self) -> Dispatcher:
        """The handler that runs this app's tasks.

        Raises:
            ConfigurationError: the app has no tasks, or an annotation of one cannot be resolved.
        """
        if not self._tasks:
            raise ConfigurationError("the app has no tasks: import the modules that declare them, beside the app")
        for task in self._tasks.values():
            task.arguments.check(result=task.options.result_ttl_s > 0)
        self._in_use["handler"] = True
        return Dispatcher(self, self._tasks, self._policy, self._boot_hooks, self._shutdown_hooks, self._middlewares)

    __bizzmq_handler__ = dispatcher
