"""What users have called beside their handler: around each message, and when a worker begins and ends.

    import bizzmq

    @bizzmq.on_worker_boot
    def connect():
        global connection
        connection = psycopg.connect(...)

Hooks are registered while the handler's module is imported, and workers that are forked from there inherit them. They
are called in the order of registration; those of a worker's shutdown in the reverse one, as `atexit` does.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, List, TypeVar

from bizzmq import checks, handler_shape
from bizzmq.errors import ConfigurationError
from bizzmq.logs import log

_logger = logging.getLogger("bizzmq.hooks")

H = TypeVar("H", bound=Callable[..., Any])


class Hooks:
    """What is registered in this process."""

    def __init__(self) -> None:
        self.boot: List[Callable[..., Any]] = []
        self.shutdown: List[Callable[..., Any]] = []
        self.before: List[Callable[..., Any]] = []
        self.after: List[Callable[..., Any]] = []


registered = Hooks()


def on_worker_boot(hook: H) -> H:
    """Have `hook()` called in each worker of a pool before it takes its first message.

    An exception in it is a failure to boot, as one in the import would be.

    Args:
        hook: a callable without parameters, or a coroutine function.

    Returns:
        The hook, so that this can be a decorator.

    Raises:
        ConfigurationError: it cannot be called like that.
    """
    return _register(registered.boot, hook, "on_worker_boot", takes_context=False)


def on_worker_shutdown(hook: H) -> H:
    """Have `hook()` called in each worker of a pool before it leaves in order.

    That is at a drain, a reload, when the worker is replaced, and at the end of a burst. It has the rest of the drain's
    time. An exception in it is logged. A worker that is killed, or dies, calls nothing.

    Args:
        hook: a callable without parameters, or a coroutine function.

    Returns:
        The hook.

    Raises:
        ConfigurationError: it cannot be called like that.
    """
    return _register(registered.shutdown, hook, "on_worker_shutdown", takes_context=False)


def before_message(hook: H) -> H:
    """Have `hook(context)` called before each message, in the pool's workers and in consumers in this process.

    It counts to the message: to its time limit, too. An exception in it is logged, and the message runs.

    Args:
        hook: a callable that takes the message's `Context`, or nothing; or a coroutine function.

    Returns:
        The hook.

    Raises:
        ConfigurationError: it cannot be called like that.
    """
    return _register(registered.before, hook, "before_message", takes_context=True)


def after_message(hook: H) -> H:
    """Have `hook(context)` called after each message, failed ones too, before Redis learns of it.

    It counts to the message: to its time limit, too. An exception in it is logged, and changes nothing.

    Args:
        hook: a callable that takes the message's `Context`, or nothing; or a coroutine function.

    Returns:
        The hook.

    Raises:
        ConfigurationError: it cannot be called like that.
    """
    return _register(registered.after, hook, "after_message", takes_context=True)


def name_of(hook: Any) -> str:
    """As the log names it: module and name."""
    module, name = getattr(hook, "__module__", ""), getattr(hook, "__qualname__", "") or type(hook).__qualname__
    return f"{module}.{name}" if module else str(name)


def say_failed(hook: Any, what: str, error: BaseException) -> None:
    """Log that a hook has raised."""
    log(_logger, logging.ERROR, "a hook has failed", hook=name_of(hook), of=what, error=error)


def _register(hooks: List[Callable[..., Any]], hook: H, name: str, *, takes_context: bool) -> H:
    if not callable(hook):
        raise ConfigurationError(f"bizzmq.{name} takes a function, not {checks.shown(hook)}")
    handler_shape.check_hook(hook, name, takes_context=takes_context)
    if hook not in hooks:
        hooks.append(hook)
    return hook
