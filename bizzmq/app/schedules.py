"""The schedules that an app declares."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, TypeVar, overload

from bizzmq.aio import schedules as aio_schedules
from bizzmq.app.task import Task, TaskMessage
from bizzmq.app.task_function import module_name
from bizzmq.errors import ConfigurationError
from bizzmq.protocol.envelope import encode_body
from bizzmq.schedules import client as schedule_client
from bizzmq.schedules.cron import UTC
from bizzmq.schedules.schedule import (
    ALLOW,
    LAST,
    Schedule,
    ScheduleOptions,
    checked_options,
    checked_schedule_name,
    new_schedule,
)
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

if TYPE_CHECKING:
    from bizzmq.aio.client import AsyncBizzMQ
    from bizzmq.client import BizzMQ

T = TypeVar("T", bound="Task[Any, Any]")
_EMPTY = inspect.Parameter.empty
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class DeclaredSchedule:
    """A schedule that code declares.

    Attributes:
        name: its name.
        task: the task whose messages it publishes.
        options: when it fires, and its policies.
        message: the message; None for the task without arguments.
        place: where it is declared: file and line.
    """

    name: str
    task: Task[Any, Any]
    options: ScheduleOptions
    message: Optional[TaskMessage[Any]]
    place: str

    @property
    def queue(self) -> str:
        """The name of the queue that it publishes to."""
        return self.task.queue if self.message is None else self.message.queue

    def schedule(self, app: str) -> Schedule:
        """The schedule as it is stored. Raises ConfigurationError, ArgumentsError, EncodeError."""
        message = self.task.message() if self.message is None else self.message
        task = self.task
        return new_schedule(
            self.name, message.queue, self.options, encode_body(message.body), message.options, task.name, task.version,
            app,
        )  # fmt: skip


class ScheduleRegistry:
    """What an app declares of schedules. A pool stores them when it starts.

    Args:
        module: the module that makes the app. Its name marks the schedules, so that those that it no longer declares
            are found.
    """

    def __init__(self, module: str) -> None:
        self._schedules: Dict[str, DeclaredSchedule] = {}
        self.module = module_name(module)

    @property
    @abstractmethod
    def client(self) -> BizzMQ:
        """The client of the app."""

    @property
    @abstractmethod
    def aclient(self) -> AsyncBizzMQ:
        """The client of the app for asyncio."""

    @abstractmethod
    def create_queue(self, queue: str) -> bool:
        """Create a queue of the app if it is missing."""

    @abstractmethod
    async def acreate_queue(self, queue: str) -> bool:
        """As `create_queue`, for asyncio."""

    @property
    def schedules(self) -> Mapping[str, DeclaredSchedule]:
        """The declared schedules by name."""
        return dict(self._schedules)

    @overload
    def schedule(
        self,
        name: str,
        message: TaskMessage[Any],
        *,
        cron: Optional[str] = ...,
        every_s: Optional[Seconds] = ...,
        timezone: str = ...,
        missed: str = ...,
        overlap: str = ...,
        jitter_s: Seconds = ...,
    ) -> None: ...
    @overload
    def schedule(
        self,
        name: str = ...,
        message: None = ...,
        *,
        cron: Optional[str] = ...,
        every_s: Optional[Seconds] = ...,
        timezone: str = ...,
        missed: str = ...,
        overlap: str = ...,
        jitter_s: Seconds = ...,
    ) -> Callable[[T], T]: ...
    def schedule(
        self,
        name: str = "",
        message: Optional[TaskMessage[Any]] = None,
        *,
        cron: Optional[str] = None,
        every_s: Optional[Seconds] = None,
        timezone: str = UTC,
        missed: str = LAST,
        overlap: str = ALLOW,
        jitter_s: Seconds = 0.0,
    ) -> Any:
        """Declare a schedule: above a task, or for a message of a task.

        ::

            @app.schedule(cron="0 3 * * *", timezone="Europe/Berlin")
            @app.task
            def nightly_report() -> None: ...

            app.schedule("ping-eu", ping.message("eu"), every_s=60)

        The app's pools store their schedules when they start, and fire them. A declaration that is taken out of the
        code stops nothing by itself: `bizzmq schedule list` marks its schedule as undeclared, and
        `bizzmq schedule remove --prune` removes it.

        Args:
            name: the name of the schedule; above a task, the default is the name of the task.
            message: what it publishes: `task.message(...)`. Without it, this is a decorator for a task that needs no
                arguments.
            cron, every_s, timezone, missed, overlap, jitter_s: as for `BizzMQ.schedule`.

        Raises:
            ConfigurationError: an argument is invalid, another schedule has this name, the message's task is not this
                app's, or the task needs arguments.
        """
        options = checked_options(cron, every_s, timezone, missed, overlap, jitter_s)
        caller = sys._getframe(1)  # noqa: SLF001 - the only way to name the place
        place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        if message is not None:
            task = _task_of(message)
            self._declare(DeclaredSchedule(checked_schedule_name(name), task, options, message, place))
            return None

        def declare(declared: T) -> T:
            _check_scheduled(declared)
            self._declare(
                DeclaredSchedule(checked_schedule_name(name or declared.name), declared, options, None, place)
            )
            return declared

        return declare

    def _declare(self, declared: DeclaredSchedule) -> None:
        app: Any = declared.task.app
        if app is not self:
            raise ConfigurationError(f"the app has no task {declared.task.name!r}: it belongs to another app")
        other = self._schedules.get(declared.name)
        if other is not None and other.place != declared.place:
            raise ConfigurationError(
                f"two schedules have the name {declared.name!r}: {other.place} and {declared.place}; "
                "give one of them another name"
            )
        if declared.message is not None:
            declared.schedule(self.module)  # a message that cannot be scheduled is refused here
        self._schedules[declared.name] = declared

    def schedules_of(self, queue: str) -> List[Schedule]:
        """The declared schedules of a queue, as they are stored. Raises ConfigurationError, ArgumentsError."""
        return [one.schedule(self.module) for one in self._schedules.values() if one.queue == queue]

    def declare_schedules(self) -> List[str]:
        """Store the declared schedules now, as a pool does when it starts. For programs that run no pool.

        Returns:
            The names of those that are new or have changed, and of those that are marked as undeclared.

        Raises:
            ConfigurationError, BrokerUnavailableError
        """
        changed: List[str] = []
        for queue in dict.fromkeys(one.queue for one in self._schedules.values()):
            self.create_queue(queue)
            changed += schedule_client.declare(self.client, queue, self.schedules_of(queue), self.module)
        return changed

    async def adeclare_schedules(self) -> List[str]:
        """As `declare_schedules`, for asyncio."""
        changed: List[str] = []
        for queue in dict.fromkeys(one.queue for one in self._schedules.values()):
            await self.acreate_queue(queue)
            changed += await aio_schedules.declare(self.aclient, queue, self.schedules_of(queue), self.module)
        return changed


def _task_of(message: Any) -> Task[Any, Any]:
    if not isinstance(message, TaskMessage):
        checks.refuse("message", "what task.message(...) returns", message)
    return message.task


def _check_scheduled(task: Any) -> None:
    """Raise ConfigurationError unless this is a task that can be called without arguments."""
    if not isinstance(task, Task):
        raise ConfigurationError(f"@app.schedule(...) belongs above @app.task, not above {checks.shown(task)}")
    parameters = list(inspect.signature(task.function).parameters.values())[int(task.takes_context) :]
    needed = [one.name for one in parameters if one.default is _EMPTY and one.kind not in _VARIADIC]
    if needed:
        raise ConfigurationError(
            f"task {task.name!r} needs {', '.join(needed)}: "
            f"declare app.schedule(NAME, {task.function.__name__}.message(...), ...)"
        )
