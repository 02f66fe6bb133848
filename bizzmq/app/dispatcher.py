"""The dispatcher: the handler of an app, which calls the task that a message names."""

from __future__ import annotations

import difflib
from typing import Any, Callable, Dict, List, Mapping, Protocol, Sequence

from bizzmq.app.description import AppDescription, ScheduleDescription, TaskDescription, limits_refused_by, signature_of
from bizzmq.app.task import Task
from bizzmq.consumer.handlers import handler
from bizzmq.consumer.handlers.task_dispatcher import TaskDispatcher
from bizzmq.context import Context, message_of
from bizzmq.errors import ArgumentsError, UnknownTaskError
from bizzmq.failure_policy import NO_POLICY, FailurePolicy
from bizzmq.properties import NO_PROPERTIES, MessageProperties
from bizzmq.queue import QueueOptions
from bizzmq.schedules.schedule import Schedule

handler.OWN_FILES.add(__file__)


class ServedApp(Protocol):
    """What a dispatcher needs of its app."""

    @property
    def queues(self) -> Mapping[str, QueueOptions | None]: ...
    @property
    def own_redis_url(self) -> str: ...
    @property
    def unknown_task_limit_s(self) -> float: ...
    @property
    def module(self) -> str: ...
    def schedules_of(self, queue: str) -> List[Schedule]: ...
    def use_server(self, redis_url: str) -> None: ...


class Dispatcher(TaskDispatcher):
    """Calls the task of each message with its arguments.

    Args:
        tasks: by name and by alias.
    """

    def __init__(
        self, app: ServedApp, tasks: Mapping[str, Task[Any, Any]], app_policy: FailurePolicy,
        boot_hooks: Sequence[Callable[..., Any]], shutdown_hooks: Sequence[Callable[..., Any]],
        middlewares: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        self._app = app
        self._unknown_task_limit_s = app.unknown_task_limit_s
        self._tasks: Dict[str, Task[Any, Any]] = dict(tasks)
        self.app_policy = app_policy
        self.boot_hooks, self.shutdown_hooks = boot_hooks, shutdown_hooks
        self.middlewares = tuple(middlewares)

    def __call__(self, body: Any, context: Context) -> Any:
        properties = message_of(context).properties or NO_PROPERTIES
        task = self._tasks.get(properties.task)
        if task is None:
            raise self._unknown(properties)
        try:
            if properties.version != task.version:
                body = task.upgraded(body, properties.version)
            args, kwargs = task.arguments.decode(body)
        except ArgumentsError as error:
            error.is_received = True
            raise
        if task.takes_context:
            return task.function(context, *args, **kwargs)
        return task.function(*args, **kwargs)

    def _unknown(self, properties: MessageProperties) -> Exception:
        refusal = self.refusal_of(properties)
        if refusal is not None:
            return refusal
        error = ArgumentsError(
            "the message names no task: publish it by a task of the app, or by bizzmq publish --task"
        )
        error.is_received = True
        return error

    def describe(self) -> Mapping[str, Any]:
        app, policy = self._app, self.app_policy
        queues = {name: None if options is None else options.to_meta() for name, options in app.queues.items()}
        tasks = [self._described(task) for name, task in self._tasks.items() if name == task.name]
        schedules = [ScheduleDescription.of(one) for queue in queues for one in app.schedules_of(queue)]
        return AppDescription(
            queues, tasks, policy.max_retries, policy.timeout_s, app.own_redis_url, app.module, schedules
        ).as_data()

    def _described(self, task: Task[Any, Any]) -> TaskDescription:
        own = task.options.policy
        merged = own.over(self.app_policy)
        delays: Any = None if callable(merged.retry_delays_s) else merged.retry_delays_s
        return TaskDescription(
            task.name, task.aliases, task.queue, task.version,
            signature_of(task.function, takes_context=task.takes_context), own.max_retries, own.timeout_s,
            task.options.result_ttl_s, delays, merged.retry_for_s, limits_refused_by(merged),
        )  # fmt: skip

    def serve(self, redis_url: str, unknown_task_limit_s: float | None) -> None:
        self._app.use_server(redis_url)
        if unknown_task_limit_s is not None:
            self._unknown_task_limit_s = unknown_task_limit_s

    def version_of(self, properties: MessageProperties) -> int:
        task = self._tasks.get(properties.task)
        return 1 if task is None else task.version

    def refusal_of(self, properties: MessageProperties) -> UnknownTaskError | None:
        task = self._tasks.get(properties.task)
        if task is not None:
            if properties.version <= task.version:
                return None
            return self._waiting(
                f"version {properties.version} of task {task.name!r} is newer than this worker's {task.version}"
            )
        if not properties.task:
            return None
        near = self._near(properties.task)
        return self._waiting(f"this worker has no task {properties.task!r}{f': is it {near!r}?' if near else ''}")

    def _near(self, name: str) -> str:
        """A task of a similar name, or of the same name in a module; "" if there is none."""
        ends_with_it = [known for known in self._tasks if known.endswith(f".{name}")]
        return next(iter(ends_with_it or difflib.get_close_matches(name, self._tasks, 1, 0.8)), "")

    def _waiting(self, text: str) -> UnknownTaskError:
        error = UnknownTaskError(text)
        error.limit_s = self._unknown_task_limit_s
        return error

    def policy_of(self, properties: MessageProperties) -> FailurePolicy:
        task = self._tasks.get(properties.task)
        return NO_POLICY if task is None else task.options.policy

    def result_of(self, value: Any, context: Context) -> Any:
        return self._tasks[context.task].arguments.encode_result(value)
