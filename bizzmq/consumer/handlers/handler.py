"""The user's handler behind one interface: `run` returns the error of an attempt, or None for success."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

from bizzmq.consumer.handlers import loader as handler_loader
from bizzmq.consumer.handlers import loop as handler_loop
from bizzmq.consumer.handlers import result as handler_result
from bizzmq.consumer.handlers import user_hooks
from bizzmq.consumer.handlers.loader import HandlerImportError
from bizzmq.consumer.handlers.loop import HandlerLoop
from bizzmq.consumer.handlers.shape import check, hook_takes_context, takes_context
from bizzmq.consumer.handlers.task_dispatcher import HasHandler, TaskDispatcher
from bizzmq.context import Context
from bizzmq.errors import MissingKeyError, PayloadTooLargeError, ResultTooLargeError, UnknownTaskError
from bizzmq.failure_policy import FailurePolicy, layered
from bizzmq.message import Message
from bizzmq.middleware import chain, registry
from bizzmq.middleware.chain import LIMITS, HandlerChain
from bizzmq.properties import MessageProperties
from bizzmq.protocol.envelope import SealedBody, encode_body
from bizzmq.queue import QueueOptions

UserHandler = Union[Callable[..., Any], HasHandler]
_ASYNCIO = str(Path(asyncio.__file__).parent)
Run = Callable[[Any, Context], Optional[BaseException]]
OWN_FILES = {__file__, handler_loader.__file__, handler_loop.__file__, handler_result.__file__, chain.__file__}
"""The modules whose frames lie between the worker and the user's code."""

_MAX_POLICIES = 1000


_NO_TASKS = TaskDispatcher()


class Handler:
    """Calls the user's handler: with the context if the handler takes one, in an event loop if it is async.

    Attributes:
        is_spent: whether this process should run no further message, because a limit interrupted code at an unknown
            point.
        when_spent: called when `is_spent` becomes true.
        chain: the middleware around the handler; None without middleware.
        interrupt, interrupt_from_thread: see `HandlerLoop`.
    """

    is_spent = False
    when_spent: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, function: UserHandler, middlewares: Sequence[Any] = ()) -> None:
        make = getattr(type(function), "__bizzmq_handler__", None)  # an app has a handler of its own
        called: Callable[..., Any] = function if make is None else make(function)  # type: ignore[assignment]
        check(called)
        self._function = called
        self._takes_context = takes_context(called)
        self._loop = HandlerLoop()
        self.interrupt = self._loop.interrupt
        self.interrupt_from_thread = self._loop.interrupt_from_thread
        self._process = os.getpid()
        tasks: Any = called
        self._tasks: TaskDispatcher = tasks if issubclass(type(tasks), TaskDispatcher) else _NO_TASKS
        self._policies: Dict[Tuple[str, int, bool], Tuple[QueueOptions, FailurePolicy]] = {}
        self._keeps_result = False
        self._result: Any = None
        self._stored: bytes | None = None
        self._own_middlewares = (*self._tasks.middlewares, *middlewares)
        self.chain: HandlerChain | None = None
        self._add_hooks()

    def is_awaited_here(self) -> bool:
        """Whether the running handler calls this in an event loop of another thread."""
        return False

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

    def version_of(self, message: Message) -> int:
        """The version of the task that runs a message; 1 for a plain handler."""
        return 1 if message.properties is None else self._tasks.version_of(message.properties)

    def refusal_of(self, message: Message) -> UnknownTaskError | None:
        """Why this process cannot run a message: it has no key for the body, or does not know the task; else None."""
        properties = message.properties
        if properties is None:
            return None
        if properties.encoding and type(message.body) is SealedBody:
            return MissingKeyError(f"this worker has no encryption key {message.body.key_id!r}")
        return self._tasks.refusal_of(properties)

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

    def close(self) -> None:
        """Close the event loop, if there is one, and cancel the tasks that hooks have left in it."""
        self._loop.close()

    def _await(self, awaitable: Any, *, keeps_tasks: bool) -> Any:
        return self._loop.run(awaitable, keeps_tasks=keeps_tasks)


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
