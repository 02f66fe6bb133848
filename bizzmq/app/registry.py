"""The tasks, queues, middlewares and hooks that an app declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, Mapping, Sequence, TypeVar, overload

from bizzmq.app.options import TaskOptions
from bizzmq.app.task import P, R, Task, TaskPublisher
from bizzmq.app.task_kinds import AsyncContextTask, AsyncTask, ContextTask, PlainTask
from bizzmq.consumer.handlers import shape as handler_shape
from bizzmq.errors import ConfigurationError
from bizzmq.failure_policy import ErrorClasses, RetryDelays, failure_policy
from bizzmq.message import UniqueKey
from bizzmq.middleware.checks import all_checked, checked
from bizzmq.properties import checked_result_ttl
from bizzmq.protocol.keys import QueueKeys
from bizzmq.queue import QueueOptions
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

if TYPE_CHECKING:
    from typing_extensions import Concatenate

    from bizzmq.context import Context

H = TypeVar("H", bound=Callable[..., Any])
M = TypeVar("M")


class TaskRegistry(ABC):
    """What an app declares. The app itself adds the connection.

    Args:
        queue: the queue of tasks that name none.
        middleware: the first middlewares, in their order.
    """

    def __init__(self, queue: str, middleware: Sequence[Any]) -> None:
        self._default_queue = checked_queue_name(queue)
        self._queues: Dict[str, QueueOptions | None] = {}
        self._tasks: Dict[str, Task[Any, Any]] = {}  # by name and by alias
        self._middlewares = all_checked(middleware)
        self._in_use: Dict[str, bool] = {}
        self._boot_hooks: List[Callable[..., Any]] = []
        self._shutdown_hooks: List[Callable[..., Any]] = []

    @abstractmethod
    def _publisher(self) -> TaskPublisher:
        """What publishes the messages of the tasks: the app."""

    @property
    def tasks(self) -> Mapping[str, Task[Any, Any]]:
        """The tasks by name, in the order of their declaration."""
        return {name: task for name, task in self._tasks.items() if name == task.name}

    @property
    def queues(self) -> Mapping[str, QueueOptions | None]:
        """The queues of the app in declared order, each with its options if the app declares some."""
        return dict(self._queues)

    def queue(self, name: str, options: QueueOptions | None = None) -> str:
        """Declare a queue of this app; `bizzmq-worker` serves queues in the order of their declaration.

        A task declares its queue by naming it. Options that are given here are stored when the queue is created; if
        the stored ones differ later, a pool warns.

        Returns:
            The name.

        Raises:
            ConfigurationError: the name or the options are invalid, or the queue is declared with other options.
        """
        name = checked_queue_name(name)
        if options is not None:
            checks.instance("options", options, QueueOptions, options)
            declared = self._queues.get(name)
            if declared is not None and declared != options:
                raise ConfigurationError(f"queue {name!r} is declared twice: {options.difference(declared)}")
        self._queues[name] = options or self._queues.get(name)
        return name

    def checked_queue(self, name: str) -> str:
        """The name of one of the app's queues. Raises ConfigurationError."""
        if name not in self._queues:
            known = ", ".join(self._queues)
            raise ConfigurationError(
                f"the app has no queue {name!r}; it has {known or 'none'}: declare it by app.queue"
            )
        return name

    @overload
    def task(  # type: ignore[overload-overlap]  # the first match counts, and is the more precise one
        self, function: Callable[Concatenate[Context, P], Awaitable[R]], /
    ) -> AsyncContextTask[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> ContextTask[P, R]: ...
    @overload
    def task(  # type: ignore[overload-overlap]  # the first match counts, and is the more precise one
        self, function: Callable[P, Awaitable[R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> PlainTask[P, R]: ...
    @overload
    def task(
        self,
        *,
        name: str = ...,
        aliases: Sequence[str] = ...,
        queue: str = ...,
        version: int = ...,
        priority: int = ...,
        result_ttl_s: Seconds = ...,
        unique_key: UniqueKey = ...,
        unique_until: str = ...,
        unique_for_s: Seconds | None = ...,
        on_duplicate: str = ...,
        expires_s: Seconds | None = ...,
        output_ttl_s: Seconds = ...,
        max_retries: int | None = ...,
        timeout_s: Seconds | None = ...,
        retry_on: ErrorClasses | None = ...,
        dead_letter_on: ErrorClasses | None = ...,
        retry_delays_s: RetryDelays | None = ...,
        retry_for_s: Seconds | None = ...,
    ) -> TaskDecorator: ...
    def task(  # type: ignore[misc]  # it accepts all: mypy cannot compare the keywords with a positional function
        self,
        function: Any = None,
        /,
        *,
        name: str = "",
        aliases: Sequence[str] = (),
        queue: str = "",
        version: int = 1,
        priority: int = 0,
        result_ttl_s: Seconds = 0.0,
        unique_key: UniqueKey = "",
        unique_until: str = "finished",
        unique_for_s: Seconds | None = None,
        on_duplicate: str = "keep",
        expires_s: Seconds | None = None,
        output_ttl_s: Seconds = 0.0,
        max_retries: int | None = None,
        timeout_s: Seconds | None = None,
        retry_on: ErrorClasses | None = None,
        dead_letter_on: ErrorClasses | None = None,
        retry_delays_s: RetryDelays | None = None,
        retry_for_s: Seconds | None = None,
    ) -> Any:
        """Make a function a task of this app: `@app.task`, or `@app.task(queue="images", max_retries=5)`.

        The function may be async. Its first parameter gets the Context of the delivery if it is annotated with
        Context, or is named `context` or `ctx`.

        Args:
            name: the name of the task in messages. The default is module and function, such as `tasks.thumbnail`.
            aliases: earlier names, under which messages may still wait.
            queue: the queue of its messages; the default is the app's.
            version: the version of its arguments, from 1; see `Task.upgrade`.
            priority: as for MessageOptions.
            result_ttl_s: how long the result is kept after the end of the message, seconds or a timedelta; 0 keeps
                none.
            unique_key, unique_until, unique_for_s, on_duplicate, expires_s, output_ttl_s: as for MessageOptions. A
                function for `unique_key` takes the arguments as a mapping of names to JSON values.
            max_retries: how often a message is retried after its first failure.
            timeout_s: the time limit of one delivery, seconds or a timedelta.
            retry_on: the exception classes that are retried; others dead-letter the message. None retries all.
            dead_letter_on: the exception classes that dead-letter the message at once.
            retry_delays_s: the waits before the retries, such as `[1, 10, 60]`, whose last one is repeated; or a
                function that takes the number of retries so far and the error, and returns the wait. Seconds or
                timedeltas. The default is the back-off of the queue.
            retry_for_s: a message is not retried once this time has passed since it was published.

        These options come before those of the queue and of the app, and after those of `Task.using`. A pool's workers
        apply the options of their own code, also to messages that wait already.

        Raises:
            ConfigurationError: the function cannot be a task, another task has its name, or an option is invalid.
        """
        home = checked_queue_name(queue) if queue != "" else self._default_queue
        policy = failure_policy(max_retries, timeout_s, retry_on, dead_letter_on, retry_delays_s, retry_for_s)
        more = {
            "unique_key": unique_key, "unique_until": unique_until, "unique_for_s": unique_for_s,
            "on_duplicate": on_duplicate, "expires_s": expires_s, "output_ttl_s": output_ttl_s,
        }  # fmt: skip
        options = TaskOptions(policy, priority, checked_result_ttl(result_ttl_s), more)
        if isinstance(aliases, str):
            checks.refuse("aliases", "a list of names", aliases)

        def declare(function: Callable[..., Any]) -> Task[Any, Any]:
            task: Task[Any, Any] = Task(self._publisher(), function, name, aliases, home, version, options)
            self._add(task)
            self.queue(home)
            return task

        return declare if function is None else declare(function)

    def _add(self, task: Task[Any, Any]) -> None:
        for name in (task.name, *task.aliases):
            other = self._tasks.get(name)
            if other is not None and not _is_reloaded(other.function, task.function):
                raise ConfigurationError(
                    f"two tasks have the name {name!r}: {_place(other.function)} and {_place(task.function)}; "
                    "give one of them another name"
                )
        for name in (task.name, *task.aliases):
            self._tasks[name] = task

    @property
    def middleware(self) -> Sequence[Any]:
        """The middlewares of the app, in their order."""
        return self._middlewares

    def add_middleware(self, middleware: M) -> M:
        """Add a middleware behind those that the app has: `app.add_middleware(Timing(print))`.

        Args:
            middleware: an object with some of the methods of `bizzmq.Middleware`.

        Returns:
            The middleware.

        Raises:
            ConfigurationError: it has no hook, or a method that looks like a hook and is not one; or something in this
                process runs the app's tasks already.
        """
        checked(middleware)
        if self._in_use:
            raise ConfigurationError("the app's tasks run already: add its middleware where the app is declared")
        if not any(one is middleware for one in self._middlewares):
            self._middlewares.append(middleware)
        return middleware

    def on_worker_boot(self, hook: H) -> H:
        """Call `hook()` in each worker of this app's pools before its first message; see `bizzmq.on_worker_boot`."""
        return self._hooked(self._boot_hooks, hook, "on_worker_boot")

    def on_worker_shutdown(self, hook: H) -> H:
        """Call `hook()` in each worker before an orderly exit; see `bizzmq.on_worker_shutdown`."""
        return self._hooked(self._shutdown_hooks, hook, "on_worker_shutdown")

    def _hooked(self, hooks: List[Callable[..., Any]], hook: H, name: str) -> H:
        if not callable(hook):
            raise ConfigurationError(f"app.{name} takes a function, not {checks.shown(hook)}")
        handler_shape.check_hook(hook, name, takes_context=False)
        if hook not in hooks:
            hooks.append(hook)
        return hook


if TYPE_CHECKING:

    class TaskDecorator:
        """What `app.task(...)` with options returns."""

        @overload
        def __call__(  # type: ignore[overload-overlap]  # the first match counts, and is the more precise one
            self, function: Callable[Concatenate[Context, P], Awaitable[R]], /
        ) -> AsyncContextTask[P, R]: ...
        @overload
        def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> ContextTask[P, R]: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]  # the first match counts, and is the more precise one
            self, function: Callable[P, Awaitable[R]], /
        ) -> AsyncTask[P, R]: ...
        @overload
        def __call__(self, function: Callable[P, R], /) -> PlainTask[P, R]: ...
        def __call__(self, function: Any, /) -> Any: ...


def checked_queue_name(name: Any) -> str:
    """The name of a queue. Raises ConfigurationError."""
    return QueueKeys(checks.text("queue", name, "the name of a queue")).queue


def _is_reloaded(function: Any, other: Any) -> bool:
    """Whether both come from the same line of the same file, as after `importlib.reload`."""
    code, other_code = getattr(function, "__code__", None), getattr(other, "__code__", None)
    if code is None or other_code is None:
        return False
    return (code.co_filename, code.co_firstlineno) == (other_code.co_filename, other_code.co_firstlineno)


def _place(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else checks.shown(function)
