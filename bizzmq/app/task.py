"""A task: a function with a name, which a worker runs and anyone publishes."""

from __future__ import annotations

from datetime import datetime
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Generic,
    Iterable,
    List,
    Mapping,
    Protocol,
    Sequence,
    TypeVar,
)

from bizzmq.app.arguments import Arguments
from bizzmq.app.handle import Handle
from bizzmq.app.options import TaskOptions, shown_message
from bizzmq.app.task_function import check_kind, default_name
from bizzmq.app.upgrades import Upgrade, Upgrades
from bizzmq.consumer.handlers import shape as handler_shape
from bizzmq.errors import ConfigurationError
from bizzmq.message import MessageOptions, UniqueKey
from bizzmq.properties import checked_task, checked_version
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")
else:
    try:
        from typing import ParamSpec
    except ImportError:  # CPython 3.9 and older, where Generic takes type variables only
        ParamSpec = TypeVar
    P = ParamSpec("P")

R = TypeVar("R")


class TaskPublisher(Protocol):
    """What a task needs of its app."""

    def publish_messages(self, messages: Sequence[TaskMessage[R]]) -> List[Handle[R]]: ...

    def _publish(self, first: TaskMessage[R], bodies: Sequence[Any]) -> List[Handle[R]]: ...

    async def apublish_messages(self, messages: Sequence[TaskMessage[R]]) -> List[Handle[R]]: ...

    async def _apublish(self, first: TaskMessage[R], bodies: Sequence[Any]) -> List[Handle[R]]: ...

    def checked_queue(self, name: str) -> str: ...

    def handle_of(self, message_id: str, queue: str, task: str, decode: Any) -> Handle[Any]: ...


class TaskMessage(Generic[R]):
    """A message of a task that is not published yet.

    Attributes:
        task: the task.
        body: its arguments as JSON: parameter name -> value.
        options: the options of the message.
        queue: the name of the queue that it will be published to.
    """

    __slots__ = ("body", "options", "queue", "task")

    def __init__(self, task: Task[Any, R], body: Mapping[str, Any], options: MessageOptions, queue: str) -> None:
        self.task, self.body, self.options, self.queue = task, body, options, queue

    def __repr__(self) -> str:
        return f"TaskMessage({shown_message(self.task.name, dict(self.body), self.queue, self.options)})"

    def publish(self) -> Handle[R]:
        """Publish this message. May be called again, for another message with the same arguments."""
        return self.task.app.publish_messages([self])[0]

    async def apublish(self) -> Handle[R]:
        """As `publish`, for asyncio."""
        return (await self.task.app.apublish_messages([self]))[0]


class Publishable(Generic[P, R]):
    """A task together with the options of the messages that it publishes. `Task.using` returns one."""

    def __init__(self, task: Task[P, R], options: MessageOptions, queue: str) -> None:
        self._task, self._options, self._queue = task, options, queue

    def message(self, *args: P.args, **kwargs: P.kwargs) -> TaskMessage[R]:
        """A message with these arguments that is not published yet.

        Raises:
            ArgumentsError: the arguments do not fit the task.
        """
        return TaskMessage(self._task, self._task.arguments.encode(args, kwargs), self._options, self._queue)

    def publish(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Publish a message with these arguments.

        The queue is created if it does not exist.

        Raises:
            ArgumentsError: the arguments do not fit the task; nothing was published.
            BizzMQError: the errors of `BizzMQ.publish_message_to_queue`.
        """
        return self.message(*args, **kwargs).publish()

    async def apublish(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """As `publish`, for asyncio. If it is cancelled, the message may have been published."""
        return await self.message(*args, **kwargs).apublish()

    def publish_many(self, calls: Iterable[Sequence[Any] | Mapping[str, Any]]) -> List[Handle[R]]:
        """Publish many messages in few round trips.

        Args:
            calls: the arguments of each message: a tuple of positional ones, or a mapping of named ones. All are
                checked before the first is published.

        Returns:
            The handles, in the order of the calls.

        Raises:
            ArgumentsError: the arguments of one message do not fit the task; nothing was published.
            BizzMQError: the errors of `BizzMQ.publish_messages_to_queue`.
        """
        bodies = self._bodies(calls)
        return self._task.app._publish(self._first(bodies), bodies) if bodies else []  # noqa: SLF001 - for tasks

    async def apublish_many(self, calls: Iterable[Sequence[Any] | Mapping[str, Any]]) -> List[Handle[R]]:
        """As `publish_many`, for asyncio. If it is cancelled, some of the messages may have been published."""
        bodies = self._bodies(calls)
        return await self._task.app._apublish(self._first(bodies), bodies) if bodies else []  # noqa: SLF001 - for tasks

    def _first(self, bodies: Sequence[Mapping[str, Any]]) -> TaskMessage[R]:
        return TaskMessage(self._task, bodies[0], self._options, self._queue)

    def _bodies(self, calls: Iterable[Sequence[Any] | Mapping[str, Any]]) -> List[Mapping[str, Any]]:
        encode = self._task.arguments.encode
        bodies: List[Mapping[str, Any]] = []
        for index, call in enumerate(_checked_calls(calls)):
            if isinstance(call, (tuple, list)):
                bodies.append(encode(call, {}))
            elif isinstance(call, Mapping):
                bodies.append(encode((), call))
            else:
                checks.refuse(f"call {index} of publish_many", "a tuple or a mapping of arguments", call)
        return bodies


def _checked_calls(calls: Any) -> Iterable[Any]:
    if isinstance(calls, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(calls, Iterable):
        checks.refuse("calls", "a list or another iterable of tuples of arguments", calls)
    return calls


class Task(Publishable[P, R]):
    """A task. Calling it calls its function; publishing it has a worker call its function.

    Attributes:
        app: the app that it belongs to.
        name: its name in messages.
        aliases: earlier names, under which messages may still wait.
        queue: the name of the queue that its messages are published to.
        version: the version of its arguments.
        function: the function.
        takes_context: whether the first argument of the function is the Context of the delivery.
        options: its policy and the options of its messages.
    """

    __bizzmq_task__ = True

    def __init__(
        self,
        app: TaskPublisher,
        function: Any,
        name: str,
        aliases: Sequence[str],
        queue: str,
        version: int,
        options: TaskOptions,
    ) -> None:
        self.app, self.function, self.options = app, function, options
        check_kind(function)
        self.name = checked_task(name or default_name(function))
        self.aliases = tuple(checked_task(alias) for alias in aliases)
        self.queue = queue
        self.version = checked_version(version)
        problem = handler_shape.call_problem(function)
        if problem:
            raise ConfigurationError(f"task {self.name!r} cannot run: {problem}")
        self.takes_context = handler_shape.task_takes_context(function)
        self.arguments = Arguments(function, self.name, takes_context=self.takes_context)
        self._upgrades = Upgrades(self.name, self.version)
        super().__init__(self, options.message_options(), queue)
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    def using(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay_s: Seconds | datetime | None = None,
        max_retries: int | None = None,
        timeout_s: Seconds | None = None,
        confirm: str | None = None,
        result_ttl_s: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        unique_key: UniqueKey | None = None,
        unique_until: str | None = None,
        unique_for_s: Seconds | None = None,
        on_duplicate: str | None = None,
        expires_s: Seconds | None = None,
        output_ttl_s: Seconds | None = None,
    ) -> Publishable[P, R]:
        """This task with other options for the messages that are published by what is returned.

        These options travel with the message, and come before those of the task. `queue` is one of the app's queues.
        The others are those of MessageOptions; `max_retries` is its `retries`.

        Raises:
            ConfigurationError: an option is invalid.
        """
        given = {
            "priority": priority, "delay_s": delay_s, "max_retries": max_retries, "timeout_s": timeout_s,
            "confirm": confirm, "result_ttl_s": result_ttl_s, "headers": headers,
            "key": key, "unique_key": unique_key, "unique_until": unique_until, "unique_for_s": unique_for_s,
            "on_duplicate": on_duplicate, "expires_s": expires_s, "output_ttl_s": output_ttl_s,
        }  # fmt: skip
        options = self.options.message_options(**{name: value for name, value in given.items() if value is not None})
        return Publishable(self, options, self.queue if queue is None else self.app.checked_queue(queue))

    def handle(self, message_id: str, *, queue: str | None = None) -> Handle[R]:
        """The handle of a message of this task that was published before, for example by another process.

        Args:
            queue: the queue that it was published to, if it is not the task's.

        Raises:
            ConfigurationError: the id or the queue's name is invalid.
        """
        home = self.queue if queue is None else self.app.checked_queue(queue)
        return self.app.handle_of(message_id, home, self.name, self.arguments.decode_result)

    def upgrade(self, version: int) -> Callable[[Upgrade], Upgrade]:
        """Register the function that turns the arguments of a version into those of the next one.

        The function takes the arguments as JSON, a dict of parameter name -> value, and returns such a dict. It may
        change the one that it gets. Messages of older versions go through all upgrades from theirs on.

        Raises:
            ConfigurationError: the task has no such older version, or it has an upgrade already.
        """
        return self._upgrades.register(version)

    def upgraded(self, body: Any, version: int) -> Any:
        """The arguments of an older version as those of this one.

        Raises:
            UnknownTaskError: the version is newer than this code.
            ArgumentsError: an upgrade is missing.
        """
        return self._upgrades.applied(body, version)
