"""The interface between a handler and an app's tasks."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Protocol, Sequence

from bizzmq.context import Context
from bizzmq.errors import UnknownTaskError
from bizzmq.failure_policy import NO_POLICY, FailurePolicy
from bizzmq.properties import MessageProperties


class HasHandler(Protocol):
    """An app."""

    def __bizzmq_handler__(self) -> Callable[..., Any]:
        """The handler that runs its tasks."""


class TaskDispatcher:
    """A handler that calls the task of each message. `bizzmq.app` has the real one; this one has no tasks.

    Attributes:
        app_policy: applies where neither the task nor a chosen option of the queue says anything.
        boot_hooks, shutdown_hooks: called in each worker after those that are registered for all handlers.
        middlewares: around each message, inside those that are registered for all handlers.
    """

    app_policy = NO_POLICY
    boot_hooks: Sequence[Callable[..., Any]] = ()
    shutdown_hooks: Sequence[Callable[..., Any]] = ()
    middlewares: Sequence[Any] = ()

    def describe(self) -> Mapping[str, Any]:
        """What a pool has to know of its app, as JSON: the data of `bizzmq.app.description.AppDescription`."""
        return {}

    def serve(self, redis_url: str, unknown_task_limit_s: float | None) -> None:
        """Work for the pool of this server from now on. A limit that is not None replaces the app's."""

    def refusal_of(self, properties: MessageProperties) -> UnknownTaskError | None:
        """Why no task of this process can take the message; None if one can, or if the message names no task."""
        if not properties.task:
            return None
        return UnknownTaskError(f"this worker has a plain handler and no task {properties.task!r}")

    def version_of(self, properties: MessageProperties) -> int:  # noqa: ARG002 - a task has one
        """The version of the message's task in this process."""
        return 1

    def policy_of(self, properties: MessageProperties) -> FailurePolicy:  # noqa: ARG002 - a task has one
        """The policy of the message's task."""
        return NO_POLICY

    def result_of(self, value: Any, context: Context) -> Any:  # noqa: ARG002 - the task says how
        """The JSON value for what a handler has returned. Raises EncodeError."""
        return value
