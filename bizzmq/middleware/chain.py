"""The middleware around the handler: its hooks in their order, composed once for each handler."""

from __future__ import annotations

import os
from contextvars import Context as Variables
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, Sequence, Tuple

from bizzmq.errors import (
    CpuTimeExceeded,
    Draining,
    MemoryLimitExceeded,
    MessageCancelled,
    MessageTimeout,
    Reject,
    RetryLater,
)
from bizzmq.middleware.base import WorkerCrash
from bizzmq.middleware.checks import distinct, hook_of
from bizzmq.middleware.publishing import log_failure

if TYPE_CHECKING:
    from bizzmq.context import Context

LIMITS = (CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageCancelled, MessageTimeout)
"""The errors that are raised in a handler because its message has reached a limit, or was cancelled."""
Call = Callable[[Callable[..., Any], Sequence[Any]], Any]
Attempt = Callable[[Any, "Context"], Tuple[Any, "BaseException | None"]]


class HandlerChain:
    """The hooks around one handler, which runs one message at a time.

    Args:
        middlewares: in the order of their declaration.
        call: calls a hook with its arguments, and waits for it if it is async.
        attempt: calls the handler with the body and the context, and returns its result, and the failure or None.
        failure_of: the failure of a message for an error that was raised in a hook.
    """

    def __init__(
        self,
        middlewares: Sequence[Any],
        call: Call,
        attempt: Attempt,
        failure_of: Callable[[BaseException], BaseException],
    ) -> None:
        self._middlewares = distinct(middlewares)
        self._call = call
        self._attempt = attempt
        self._failure_of = failure_of
        self._around = [
            (one, hook_of(one, "before_handler"), hook_of(one, "after_handler")) for one in self._middlewares
        ]
        self._process = os.getpid()
        self._variables: Variables | None = None
        self._context: Context | None = None

    @property
    def hears_of_crashes(self) -> bool:
        """Whether a middleware has the hook `on_worker_crash`."""
        return any(hook is not None for _, hook in self._hooks("on_worker_crash"))

    def enter(self, context: Context) -> Variables:
        """Take this message as the one that the next decision is about."""
        self._context, self._variables = context, copy_context()
        return self._variables

    def run(self, body: Any, context: Context) -> BaseException | None:
        """Handle one message between the hooks, in a copy of the worker's context of variables."""
        return self.enter(context).run(self._run, body, context)

    def _run(self, body: Any, context: Context) -> BaseException | None:
        entered: List[Tuple[Any, Any]] = []
        result, failure = None, self._enter(context, entered)
        if failure is None:
            try:
                result, failure = self._attempt(body, context)
            except BaseException as error:  # noqa: BLE001 - a limit, at the end of the handler
                failure = self._failure_of(error)
            if os.getpid() != self._process:
                return failure  # a child that the handler has forked, and that ends now
        for middleware, hook in reversed(entered):
            try:
                self._call(hook, (context, result, failure))
            except LIMITS as error:
                result, failure = None, self._failure_of(error)
            except BaseException as error:  # noqa: BLE001 - only the handler decides the message's outcome
                log_failure(middleware, "after_handler", error)
        return failure

    def _enter(self, context: Context, entered: List[Tuple[Any, Any]]) -> BaseException | None:
        """Call `before_handler` of all; returns why the handler must not run, or None."""
        for middleware, before, after in self._around:
            try:
                if before is not None:
                    self._call(before, (context,))
            except (*LIMITS, Reject, RetryLater) as error:
                return self._failure_of(error)
            except BaseException as error:  # noqa: BLE001 - as above
                log_failure(middleware, "before_handler", error)
                continue
            if after is not None:
                entered.append((middleware, after))
        return None

    def retried(self, error: BaseException, delay_s: float) -> None:
        """Call `on_retry` for the message that has just failed."""
        self._decided("on_retry", error, delay_s)

    def dead_lettered(self, error: BaseException, record: Mapping[str, Any] | None) -> None:
        """Call `on_dead_letter` for the message that has just failed."""
        self._decided("on_dead_letter", error, record)

    def released(self, error: BaseException, delay_s: float) -> None:
        """Call `on_release` for the message that goes back."""
        self._decided("on_release", error, delay_s)

    def _decided(self, name: str, error: BaseException, fact: Any) -> None:
        variables, context = self._variables, self._context
        self._variables = self._context = None  # there is one decision about a delivery
        if variables is not None and context is not None:
            variables.run(self._call_all, name, (context, error, fact))

    def worker_boots(self) -> None:
        """Call `on_worker_boot` in order."""
        self._call_all("on_worker_boot", ())

    def worker_shuts_down(self) -> None:
        """Call `on_worker_shutdown` in reverse order."""
        self._variables = self._context = None
        self._call_all("on_worker_shutdown", (), is_reverse=True)

    def worker_crashed(self, crash: WorkerCrash) -> None:
        """Call `on_worker_crash` in order, in a copy of the worker's context of variables."""
        copy_context().run(self._call_all, "on_worker_crash", (crash,))

    def _call_all(self, name: str, arguments: Sequence[Any], *, is_reverse: bool = False) -> None:
        hooks = self._hooks(name)
        for middleware, hook in reversed(hooks) if is_reverse else hooks:
            try:
                self._call(hook, arguments)
            except BaseException as error:  # noqa: BLE001 - as above; no limit interrupts these hooks
                log_failure(middleware, name, error)

    def _hooks(self, name: str) -> List[Tuple[Any, Any]]:
        hooks = [(one, hook_of(one, name)) for one in self._middlewares]
        return [(one, hook) for one, hook in hooks if hook is not None]
