"""The user's handler behind one interface: `run` returns the error of an attempt, or None for success."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import AbstractSet, Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from bizzmq.consumer import handler_loader, handler_result, user_hooks
from bizzmq.consumer.handler_loader import HandlerImportError
from bizzmq.consumer.handler_shape import check, hook_takes_context, takes_context
from bizzmq.context import Context
from bizzmq.errors import PayloadTooLargeError, ResultTooLargeError, UnknownTaskError
from bizzmq.failure_policy import NO_POLICY, FailurePolicy, layered
from bizzmq.message import Message
from bizzmq.middleware import chain, registry
from bizzmq.middleware.chain import LIMITS, HandlerChain
from bizzmq.properties import MessageProperties
from bizzmq.protocol.envelope import encode_body
from bizzmq.queue import QueueOptions

UserHandler = Callable[..., Any]
_ASYNCIO = str(Path(asyncio.__file__).parent)
Run = Callable[[Any, Context], Optional[BaseException]]
OWN_FILES = {__file__, handler_loader.__file__, handler_result.__file__, chain.__file__}
"""The modules whose frames lie between the worker and the user's code."""

_MAX_POLICIES = 1000


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

    def policy_of(self, properties: MessageProperties) -> FailurePolicy:  # noqa: ARG002 - a task has one
        """The policy of the message's task."""
        return NO_POLICY

    def result_of(self, value: Any, context: Context) -> Any:  # noqa: ARG002 - the task says how
        """The JSON value for what a handler has returned. Raises EncodeError."""
        return value


_NO_TASKS = TaskDispatcher()


class Handler:
    """Calls the user's handler: with the context if the handler takes one, in an event loop if it is async.

    Attributes:
        is_spent: whether this process should run no further message, because a limit interrupted code at an unknown
            point.
        when_spent: called when `is_spent` becomes true.
        chain: the middleware around the handler; None without middleware.
    """

    is_spent = False
    when_spent: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, function: UserHandler, middlewares: Sequence[Any] = ()) -> None:
        check(function)
        self._function = function
        self._takes_context = takes_context(function)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._interrupt: BaseException | None = None
        self._process = os.getpid()
        tasks: Any = function
        self._tasks: TaskDispatcher = tasks if issubclass(type(tasks), TaskDispatcher) else _NO_TASKS
        self._policies: Dict[Tuple[str, int, bool], Tuple[QueueOptions, FailurePolicy]] = {}
        self._keeps_result = False
        self._result: Any = None
        self._stored: bytes | None = None
        self._own_middlewares = (*self._tasks.middlewares, *middlewares)
        self.chain: HandlerChain | None = None
        self._add_hooks()

    def _add_hooks(self) -> None:
        """Run the registered hooks and the middleware around each message, if there are any."""
        self._before = [(hook, hook_takes_context(hook)) for hook in user_hooks.registered.before]
        self._after = [(hook, hook_takes_context(hook)) for hook in user_hooks.registered.after]
        self._run_hooked: Run = partial(Handler._run, self)
        if self._before or self._after:
            self._run = self._run_hooked = self._run_with_hooks  # type: ignore[method-assign]
        middlewares = [*registry.registered, *self._own_middlewares]
        if middlewares:
            self.chain = HandlerChain(middlewares, self._call_hook, self._attempt, self.failure_of)
            self._run = self.chain.run  # type: ignore[method-assign]

    def boot(self) -> None:
        """Call the on_worker_boot hooks. Raises HandlerImportError."""
        if self.chain is not None:
            self.chain.worker_boots()
        for hook in (*user_hooks.registered.boot, *self._tasks.boot_hooks):
            try:
                self._resolve(hook(), keeps_tasks=True)
            except BaseException as error:
                raise HandlerImportError(f"the hook {user_hooks.name_of(hook)} (on_worker_boot) failed") from error
        self._add_hooks()

    def shut_down(self) -> None:
        """Call the on_worker_shutdown hooks."""
        for hook in reversed((*user_hooks.registered.shutdown, *self._tasks.shutdown_hooks)):
            try:
                self._resolve(hook(), keeps_tasks=True)
            except BaseException as error:  # noqa: BLE001 - the other hooks still run
                user_hooks.log_failure(hook, "on_worker_shutdown", error)
        if self.chain is not None:
            self.chain.worker_shuts_down()

    def _call_hook(self, hook: Callable[..., Any], arguments: Sequence[Any]) -> None:
        result = hook(*arguments)
        if result is not None:
            self._resolve(result, keeps_tasks=True)

    def _attempt(self, body: Any, context: Context) -> tuple[Any, BaseException | None]:
        """The result of the handler and the message's failure. A result that is kept and is no JSON is a failure."""
        self._result = self._stored = None
        failure = self._run_hooked(body, context)
        result, self._result = self._result, None
        if failure is None and self._keeps_result:
            self._stored = self._encoded(result, context)
        return result, failure

    def _run_with_hooks(self, body: Any, context: Context) -> BaseException | None:
        try:
            self._call_hooks(self._before, "before_message", context)
            failure = Handler._run(self, body, context)
            if os.getpid() != self._process:
                return failure  # a child that the handler has forked
            self._call_hooks(self._after, "after_message", context)
        except LIMITS as error:
            return self.failure_of(error)
        return failure

    def _call_hooks(self, hooks: Sequence[tuple[Callable[..., Any], bool]], kind: str, context: Context) -> None:
        for hook, wants_context in hooks:
            try:
                self._resolve(hook(context) if wants_context else hook(), keeps_tasks=True)
            except LIMITS:
                raise
            except BaseException as error:  # noqa: BLE001 - only the handler decides the message's outcome
                user_hooks.log_failure(hook, kind, error)

    def run(self, body: Any, context: Context) -> BaseException | None:
        """Handle one message: None for success, else the exception that the handler raised or returned.

        Any exception is the message's failure, SystemExit and KeyboardInterrupt included: a message must not be able
        to stop its worker. If the handler forks and the child returns from it, the child ends here: only the worker
        itself may ack.
        """
        failure = self._run(body, context)
        if os.getpid() != self._process:
            os._exit(_exit_code(failure))
        return failure

    def run_for_result(self, body: Any, context: Context) -> BaseException | bytes:
        """As `run`, but returns the handler's result as JSON, or the failure."""
        self._keeps_result, self._result, self._stored = True, None, None
        try:
            failure = self.run(body, context)
            if failure is not None:
                return failure
            stored: Any = self._stored
            return self._encoded(self._result, context) if stored is None else stored
        except BaseException as error:  # noqa: BLE001 - a result that cannot be stored is a failure
            return self.failure_of(error)
        finally:
            self._keeps_result, self._result, self._stored = False, None, None

    def _encoded(self, result: Any, context: Context) -> bytes:
        try:
            return encode_body(self._tasks.result_of(result, context))
        except PayloadTooLargeError as error:
            raise ResultTooLargeError(error.size_bytes, error.limit_bytes) from None

    def policy_of(self, properties: MessageProperties, options: QueueOptions, *, is_implicit: bool) -> FailurePolicy:
        """The policy of a message, as `failure_policy.layered` composes it."""
        key = (properties.task, id(options), is_implicit)
        known = self._policies.get(key)
        if known is not None and known[0] is options:
            return known[1]
        queue = FailurePolicy(max_retries=options.max_retries, timeout_s=options.timeout_s)
        tasks = self._tasks
        policy = layered(tasks.policy_of(properties), queue, tasks.app_policy, is_implicit=is_implicit)
        if len(self._policies) >= _MAX_POLICIES:  # names in messages can be forged, and options are read anew
            self._policies.clear()
        self._policies[key] = (options, policy)
        return policy

    @property
    def has_tasks(self) -> bool:
        """Whether this is the handler of an app."""
        return self._tasks is not _NO_TASKS

    def refusal_of(self, message: Message) -> UnknownTaskError | None:
        """Why this process does not know the task of a message; None if it does, or if there is none."""
        properties = message.properties
        return None if properties is None else self._tasks.refusal_of(properties)

    def _run(self, body: Any, context: Context) -> BaseException | None:
        try:
            result = self._function(body, context) if self._takes_context else self._function(body)
            if result is None or (result is True and not self._keeps_result):
                return None
            resolved = result if type(result) in handler_result.SCALARS else self._resolve(result)
            if self._keeps_result or self.chain is not None:
                self._result = resolved
            return None if type(resolved) in handler_result.SCALARS else handler_result.failure_in(resolved)
        except BaseException as error:  # noqa: BLE001 - see `run`
            return self.failure_of(error)

    def failure_of(self, error: BaseException) -> BaseException:
        """The message's failure after its handler raised an error: the error, with the user's frames only."""
        return error.with_traceback(from_user(error.__traceback__))

    def _resolve(self, result: Any, *, keeps_tasks: bool = False) -> Any:
        """The final value of a result, after everything in it has been awaited or waited for."""
        while True:
            if handler_result.is_pending(result):
                result = handler_result.wait_for(result)
            elif inspect.isawaitable(result):
                result = self._await(result, keeps_tasks=keeps_tasks)
            else:
                return result

    def interrupt(self, error: BaseException) -> None:
        """Raise an error in the user's handler, sync or async. Called by a signal handler in the main thread."""
        if self._task is None or self._loop is None or asyncio.current_task(self._loop) is self._task:
            raise error  # the handler computes, or blocks its loop
        self._interrupt = error
        self._loop.call_soon_threadsafe(self._task.cancel)

    def close(self) -> None:
        """Close the event loop, if there is one, and cancel the tasks that hooks have left in it."""
        if self._loop is not None:
            self._cancel_others(frozenset())
            self._loop.close()
            self._loop = None

    def _await(self, awaitable: Any, *, keeps_tasks: bool) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()

        self._interrupt = None
        kept = asyncio.all_tasks(self._loop)  # of hooks, and of libraries that an earlier message started
        self._task = self._loop.create_task(handler_result.awaited(awaitable, self._loop, self._take_interrupt))
        try:
            return self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            if self._interrupt is not None:
                raise self._interrupt from None
            raise
        finally:
            self._task = None
            if not keeps_tasks:
                self._cancel_others(kept)

    def _take_interrupt(self) -> BaseException | None:
        error, self._interrupt = self._interrupt, None
        return error

    def _cancel_others(self, kept: AbstractSet[asyncio.Task[Any]]) -> None:
        """Cancel the tasks that the handler left running, so that one message does not leak into the next."""
        assert self._loop is not None
        others = asyncio.all_tasks(self._loop) - kept
        for task in others:
            task.cancel()
        if others:
            self._loop.run_until_complete(asyncio.gather(*others, return_exceptions=True))


def from_user(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the user's first frame on, without our frames that led to it."""
    inner = trace
    while inner is not None and _is_own(inner.tb_frame.f_code.co_filename):
        inner = inner.tb_next
    return inner or trace


def _is_own(file_name: str) -> bool:
    return file_name in OWN_FILES or "importlib" in file_name or file_name.startswith(_ASYNCIO)


def _exit_code(failure: BaseException | None) -> int:
    """The exit code of a forked child. Prints an exception that is not an exit, as the interpreter does."""
    code = failure.code if isinstance(failure, SystemExit) else failure
    if isinstance(code, BaseException):
        sys.excepthook(type(code), code, code.__traceback__)
    return code & 0xFF if isinstance(code, int) else int(code is not None)
