"""With what arguments a user's callable can be called, and whether a call runs its body, as far as it tells."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any, Callable

from bizzmq.errors import ConfigurationError

_NAMES = ("context", "ctx")
_DEEPEST = 10
"""How many partials, methods and objects with `__call__` may lie around what is called in the end."""


def check(function: Callable[..., Any], name: str = "the handler") -> None:
    """See that this can be given a message, and that a call does something with it.

    Raises:
        ConfigurationError: it is not callable, its parameters allow neither a message nor a message and a context, or
            a call would run nothing of its body: a generator function, an async generator function, a class.
    """
    if not callable(function):
        raise ConfigurationError(f"{name} must be callable, not {type(function).__name__}")
    why = _why_it_runs_nothing(function)
    if why:
        raise ConfigurationError(f"{name} cannot take a message: {why}")
    signature = _called_signature(function)
    if signature is None:
        return
    try:
        signature.bind(*([None] * (2 if takes_context(function) else 1)))
    except TypeError as error:
        raise ConfigurationError(
            f"{name} cannot take a message ({error}): write it as handler(message) or handler(message, context)"
        ) from None


def check_hook(function: Callable[..., Any], name: str, *, takes_context: bool) -> None:
    """See that a hook can be called: with a context or nothing if it `takes_context`, else with nothing.

    Raises:
        ConfigurationError: it cannot.
    """
    why = _why_it_runs_nothing(function)
    if why:
        raise ConfigurationError(f"bizzmq.{name} cannot call this: {why}")
    signature = _signature(function)
    if signature is None or (takes_context and _binds(signature, 1)) or _binds(signature, 0):
        return
    wanted = "hook(context) or hook()" if takes_context else "hook()"
    raise ConfigurationError(f"bizzmq.{name} cannot call this with the parameters {signature}: write it as {wanted}")


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*([None] * count))
    except TypeError:
        return False
    return True


def hook_takes_context(function: Callable[..., Any]) -> bool:
    """Whether a hook is called with the context: as `takes_context`, of its first parameter."""
    return _is_for_context(function, 0)


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether the callable's second positional parameter is for the context.

    It is if it has no default, or is named `context` or `ctx`, or is annotated with Context; and if what is called
    takes it: a decorator may give the second argument by itself.
    """
    return _is_for_context(function, 1)


def _is_for_context(function: Callable[..., Any], position: int) -> bool:
    signature, called = _signature(function), _called_signature(function)
    parameters = signature.parameters.values() if signature else ()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) <= position:
        return False
    parameter = positional[position]
    is_meant = parameter.default is parameter.empty or parameter.name in _NAMES or _is_context(parameter.annotation)
    return is_meant and (called is None or _takes(called, position + 1))


def _is_context(annotation: Any) -> bool:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", None) or repr(annotation)
    return re.search(r"\bContext\b", str(text)) is not None


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind_partial(*([None] * count))
    except TypeError:
        return False
    return True


def _called_signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """That of what is called itself; of what it wraps (`functools.wraps`) where it passes on whatever it is given."""
    own = _signature(function, follow_wrapped=False)
    if own is not None and any(p.kind is p.VAR_POSITIONAL for p in own.parameters.values()):
        return _signature(function)
    return own


def _signature(function: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature | None:
    try:
        call = inspect.getattr_static(type(function), "__call__", None)
        called = call.__func__ if isinstance(call, staticmethod) else function
        return inspect.signature(called, follow_wrapped=follow_wrapped)
    except Exception:  # noqa: BLE001 - some builtins have no signature, and a proxy may not know yet for what it stands
        return None


def _why_it_runs_nothing(function: Callable[..., Any]) -> str:
    """Why a call would only build an object, or "".

    A decorator's `__wrapped__` is not followed: what a decorator makes of a generator may well run it.
    """
    try:
        called = _called_in_the_end(function)
    except Exception:  # noqa: BLE001 - as in _signature
        return ""
    if inspect.isclass(called):
        return "it is a class, and a call only makes an object; name a function, or an object that has __call__"
    flags = getattr(getattr(called, "__code__", None), "co_flags", 0)
    if flags & inspect.CO_ASYNC_GENERATOR or (
        flags & inspect.CO_GENERATOR and not flags & inspect.CO_ITERABLE_COROUTINE
    ):
        kind = "an async generator" if flags & inspect.CO_ASYNC_GENERATOR else "a generator"
        return f"it is {kind} function, whose body a call does not run; write it without yield"
    return ""


def _called_in_the_end(function: Any) -> Any:
    """The function or class that a call of this reaches through partials, methods and `__call__`."""
    for _ in range(_DEEPEST):
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.isclass(function) or inspect.isfunction(function):
            break
        elif inspect.ismethod(function) or isinstance(function, (staticmethod, classmethod)):
            function = function.__func__
        else:
            call = getattr(type(function), "__call__", None)  # noqa: B004 - it is looked into
            if not (inspect.isfunction(call) or isinstance(call, functools.partial)):
                break
            function = call
    return function
