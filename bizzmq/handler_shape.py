"""With what arguments a user's callable can be called, as far as it tells."""

from __future__ import annotations

import inspect
from typing import Any, Callable

from bizzmq.errors import ConfigurationError


def check(function: Callable[..., Any], name: str = "the handler") -> None:
    """See that this can be given a message.

    Raises:
        ConfigurationError: it is not callable, or its parameters allow neither a message nor a message and a context.
    """
    if not callable(function):
        raise ConfigurationError(f"{name} must be callable, not {type(function).__name__}")
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(*([None] * (2 if takes_context(function) else 1)))
    except TypeError as error:
        raise ConfigurationError(
            f"{name} cannot take a message ({error}): write it as handler(message) or handler(message, context)"
        ) from None


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether the callable has a second positional parameter."""
    signature = _signature(function)
    parameters = signature.parameters.values() if signature else ()
    return len([p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]) >= 2


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have no signature
        return None
