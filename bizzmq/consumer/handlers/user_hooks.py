"""User hooks: functions that are called around each message, and when a worker starts and ends.

    import bizzmq

    @bizzmq.on_worker_boot
    def connect():
        global connection
        connection = psycopg.connect(...)

Hooks are registered while the handler's module is imported; workers that are forked afterwards inherit them. They are
called in the order of registration, those of a worker's shutdown in reverse order, as `atexit` does.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, List, TypeVar

from bizzmq.consumer.handlers import shape as handler_shape
from bizzmq.errors import ConfigurationError
from bizzmq.utils.logs import log
from bizzmq.validation import checks

_logger = logging.getLogger("bizzmq.hooks")

H = TypeVar("H", bound=Callable[..., Any])


class Hooks:
    """The hooks that are registered in this process."""

    def __init__(self) -> None:
        self.boot: List[Callable[..., Any]] = []
        self.shutdown: List[Callable[..., Any]] = []
        self.before: List[Callable[..., Any]] = []
        self.after: List[Callable[..., Any]] = []


registered = Hooks()


def on_worker_boot(hook: H) -> H:
    """Call `hook()` in each worker of a pool before its first message.

    An exception in the hook is a failure to boot, like an exception during the import.

    Args:
        hook: a callable without parameters, or a coroutine function.

    Returns:
        The hook, so that this function can be a decorator.

    Raises:
        ConfigurationError: the hook cannot be called like this.
    """
    return _register(registered.boot, hook, "on_worker_boot", takes_context=False)


def on_worker_shutdown(hook: H) -> H:
    """Call `hook()` in each worker of a pool before an orderly exit.

    A worker exits in order at a drain, at a reload, when it is replaced, and at the end of a burst. The hook has the
    rest of the drain's time. An exception in it is logged. A worker that is killed or dies calls no hook.

    The parameter, the result and the errors are those of `on_worker_boot`.
    """
    return _register(registered.shutdown, hook, "on_worker_shutdown", takes_context=False)


def before_message(hook: H) -> H:
    """Call `hook(context)` before each message, in the workers of a pool and in in-process consumers.

    The hook is part of the message and counts towards its time limit. An exception in it is logged, and the message
    runs.

    Args:
        hook: a callable that takes the message's `Context`, or nothing; or a coroutine function.

    Returns:
        The hook, so that this function can be a decorator.

    Raises:
        ConfigurationError: the hook cannot be called like this.
    """
    return _register(registered.before, hook, "before_message", takes_context=True)


def after_message(hook: H) -> H:
    """Call `hook(context)` after each message, failed ones included, before its outcome is sent to Redis.

    The hook is part of the message and counts towards its time limit. An exception in it is logged, and does not change
    the outcome. The parameter, the result and the errors are those of `before_message`.
    """
    return _register(registered.after, hook, "after_message", takes_context=True)


def name_of(hook: Any) -> str:
    """The name of a hook in the log: module and function."""
    module, name = getattr(hook, "__module__", ""), getattr(hook, "__qualname__", "") or type(hook).__qualname__
    return f"{module}.{name}" if module else str(name)


def log_failure(hook: Any, what: str, error: BaseException) -> None:
    """Log that a hook has raised."""
    log(_logger, logging.ERROR, "a hook has failed", hook=name_of(hook), of=what, error=error)


def _register(hooks: List[Callable[..., Any]], hook: H, name: str, *, takes_context: bool) -> H:
    if not callable(hook):
        raise ConfigurationError(f"bizzmq.{name} takes a function, not {checks.shown(hook)}")
    handler_shape.check_hook(hook, name, takes_context=takes_context)
    if hook not in hooks:
        hooks.append(hook)
    return hook
