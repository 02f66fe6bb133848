"""Checks of what is registered as a middleware."""

from __future__ import annotations

import inspect
from typing import Any, Iterable, List, Sequence

from bizzmq.errors import ConfigurationError
from bizzmq.middleware.base import Middleware
from bizzmq.validation import checks

HOOKS = tuple(name for name in vars(Middleware) if name.startswith(("before_", "after_", "on_")))
"""The names of all hooks."""
_SYNC = ("before_publish", "after_publish")


def checked(middleware: Any) -> Any:
    """The middleware, if each method that looks like a hook is one and can be called.

    Raises:
        ConfigurationError: it is a class, has no hook, or has a method with a name or with parameters that no hook has.
    """
    if inspect.isclass(middleware):
        raise ConfigurationError(f"a middleware is an object, not a class: write {middleware.__name__}()")
    names = [name for name in dir(middleware) if name.startswith(("before_", "after_", "on_"))]
    hooks = [name for name in names if callable(getattr(middleware, name, None))]
    if not hooks:
        checks.refuse("a middleware", f"an object with some of the methods {', '.join(HOOKS)}", middleware)
    for name in hooks:
        _check_hook(middleware, name)
    return middleware


def hook_of(middleware: Any, name: str) -> Any:
    """A hook of a middleware; None if it has none, or the one that does nothing."""
    hook = getattr(middleware, name, None)
    return None if getattr(hook, "__func__", None) is vars(Middleware)[name] else hook


class CheckedList(List[Any]):
    """Middlewares that are checked. An app shares one list with its clients, so that both see what is added."""


def all_checked(middlewares: Any) -> CheckedList:
    """A list of middlewares, each once; a list that is checked already stays the same. Raises ConfigurationError."""
    if isinstance(middlewares, CheckedList):
        return middlewares
    if isinstance(middlewares, (str, bytes)) or not isinstance(middlewares, Iterable):
        checks.refuse("middleware", "a list of middlewares", middlewares)
    return CheckedList(distinct([checked(one) for one in middlewares]))


def distinct(middlewares: Sequence[Any]) -> List[Any]:
    """The middlewares in their order, each once."""
    return list({id(one): one for one in middlewares}.values())


def _check_hook(middleware: Any, name: str) -> None:
    owner = type(middleware).__name__
    if name not in HOOKS:
        raise ConfigurationError(
            f"{owner}.{name} is no hook of a middleware ({', '.join(HOOKS)}): use one of these names, or begin the "
            "name with an underscore"
        )
    hook = getattr(middleware, name)
    wanted = list(inspect.signature(getattr(Middleware, name)).parameters)[1:]
    shown = f"{name}({', '.join(wanted)})"
    if inspect.isgeneratorfunction(hook) or inspect.isasyncgenfunction(hook):
        raise ConfigurationError(f"{owner}.{name} is a generator, whose body a call does not run: write no yield")
    if name in _SYNC and inspect.iscoroutinefunction(hook):
        raise ConfigurationError(f"{owner}.{name} must not be async: messages are published without an event loop, too")
    try:
        inspect.signature(hook).bind(*wanted)
    except TypeError:
        raise ConfigurationError(f"{owner}.{name} cannot be called: write it as {shown}") from None
    except ValueError:
        return  # a builtin without a signature
