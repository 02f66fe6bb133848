"""The middlewares of this process, which apply to every client, handler and app in it."""

from __future__ import annotations

from typing import Any, List, TypeVar

from bizzmq.middleware.checks import checked

T = TypeVar("T")
registered: List[Any] = []


def add_middleware(middleware: T) -> T:
    """Add a middleware for all that this process publishes, and for all its handlers and tasks.

    Workers of a pool inherit it if it is added while the module of the handler is imported. It comes before the
    middlewares of an app. Adding it again has no effect.

    Args:
        middleware: an object with some of the methods of `Middleware`.

    Returns:
        The middleware.

    Raises:
        ConfigurationError: it has no hook, or a method that looks like a hook and is not one.
    """
    checked(middleware)
    if not any(one is middleware for one in registered):
        registered.append(middleware)
    return middleware
