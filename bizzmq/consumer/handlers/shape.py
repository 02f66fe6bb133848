"""The shape of a user's callable: which arguments it takes, and whether a call runs its body."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from typing import Any, Callable

from bizzmq.errors import ConfigurationError

_CONTEXT_NAMES = ("context", "ctx")
_MAX_WRAPPERS = 10
"""How many partials, methods and objects with `__call__` are followed to the function that is called in the end."""
_CACHE: Any = type(functools.lru_cache(maxsize=1)(len))
_MAKERS: list[Any] = [contextlib.contextmanager, contextlib.asynccontextmanager]
_MANAGERS = {decorate(len).__code__ for decorate in _MAKERS}
"""The code that these decorators give to every function. A user's own functions have other code."""
_IN_A_BLOCK: Any = contextlib.ContextDecorator()(len).__code__
_ASYNC_DECORATOR: Any = getattr(contextlib, "AsyncContextDecorator", None)  # CPython 3.10 and newer
_IN_AN_ASYNC_BLOCK: Any = _ASYNC_DECORATOR()(len).__code__ if _ASYNC_DECORATOR else None
_COMMAND_LINES = ("asyncclick", "click", "typer")


def check(function: Callable[..., Any], name: str = "the handler") -> None:
    """Check that a callable can take a message, and that a call runs its body.

    Raises:
        ConfigurationError: it is not callable, its parameters allow neither a message nor a message and a context, or
            a call would not run its body.
    """
    if not callable(function):
        raise ConfigurationError(f"{name} must be callable, not {type(function).__name__}")
    signature = _called_signature(function)
    problem = _call_problem(function) or _self_problem(signature)
    if problem:
        raise ConfigurationError(f"{name} cannot take a message: {problem}")
    if signature is None:
        return
    try:
        signature.bind(*([None] * (2 if takes_context(function) else 1)))
    except TypeError as error:
        raise ConfigurationError(
            f"{name} cannot take a message ({error}): write it as handler(message) or handler(message, context)"
        ) from None


def call_problem(function: Callable[..., Any]) -> str | None:
    """Why a call would not run the body of a function; None if it would."""
    return _call_problem(function)


def self_problem(function: Callable[..., Any]) -> str | None:
    """Why a method without its object cannot be called; None for anything else."""
    return _self_problem(_called_signature(function))


def check_hook(function: Callable[..., Any], name: str, *, takes_context: bool) -> None:
    """Check that a hook can be called without arguments or, if `takes_context`, with a context.

    Raises:
        ConfigurationError: it cannot.
    """
    problem = _call_problem(function) or _self_problem(_called_signature(function))
    if problem:
        raise ConfigurationError(f"bizzmq.{name} cannot call this: {problem}")
    signature = _signature(function)
    if signature is None or (takes_context and _binds(signature, 1)) or _binds(signature, 0):
        return
    wanted = "hook(context) or hook()" if takes_context else "hook()"
    raise ConfigurationError(f"bizzmq.{name} cannot call this with the parameters {signature}: write it as {wanted}")


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether the second positional parameter of a handler is for the context.

    It is if it has no default, is named `context` or `ctx`, or is annotated with Context. The function that is called
    in the end must take it, too: a decorator may pass the second argument itself.
    """
    return _is_for_context(function, 1)


def hook_takes_context(function: Callable[..., Any]) -> bool:
    """Whether the first positional parameter of a hook is for the context, by the rules of `takes_context`."""
    return _is_for_context(function, 0)


def task_takes_context(function: Callable[..., Any]) -> bool:
    """Whether the first parameter of a task is for the context: it is annotated with Context, or named so."""
    signature = _signature(function)
    first = next(iter(signature.parameters.values()), None) if signature else None
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        return False
    return first.name in _CONTEXT_NAMES or _is_context(first.annotation)


def _is_for_context(function: Callable[..., Any], position: int) -> bool:
    signature, called = _signature(function), _called_signature(function)
    parameters = signature.parameters.values() if signature else ()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) <= position:
        return False
    parameter = positional[position]
    is_meant = (
        parameter.default is parameter.empty or parameter.name in _CONTEXT_NAMES or _is_context(parameter.annotation)
    )
    return is_meant and (called is None or _binds_partially(called, position + 1))


def _is_context(annotation: Any) -> bool:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", None) or repr(annotation)
    return re.search(r"\bContext\b", str(text)) is not None


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*([None] * count))
    except TypeError:
        return False
    return True


def _binds_partially(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind_partial(*([None] * count))
    except TypeError:
        return False
    return True


def _called_signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of the callable itself, or that of what it wraps (`functools.wraps`) if it has `*args`."""
    own = _signature(function, follow_wrapped=False)
    if own is not None and any(p.kind is p.VAR_POSITIONAL for p in own.parameters.values()):
        return _signature(function)
    return own


def _signature(function: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature | None:
    try:
        call = inspect.getattr_static(type(function), "__call__", None)
        called = call.__func__ if isinstance(call, staticmethod) else call if inspect.ismethod(call) else function
        return inspect.signature(called, follow_wrapped=follow_wrapped)
    except Exception:  # noqa: BLE001 - some builtins have no signature, and a proxy may not be bound yet
        return None


def _self_problem(signature: inspect.Signature | None) -> str | None:
    """Why a method without its object cannot be called; None for anything else."""
    if signature is None or next(iter(signature.parameters), "") != "self":
        return None
    return "its first parameter is self, which is not passed; name a method of an object, or a function that calls it"


def _call_problem(function: Callable[..., Any]) -> str | None:
    """Why a call does not run the body of a callable; None if it does.

    A decorator's `__wrapped__` is not followed: a decorator may well run the generator that it wraps.
    """
    try:
        return _kind_problem(function)
    except Exception:  # noqa: BLE001 - a proxy may not be bound yet
        return None


def _kind_problem(function: Callable[..., Any]) -> str | None:
    libraries = [base.__module__.partition(".")[0] for base in type(function).__mro__]
    command_line = next((library for library in libraries if library in _COMMAND_LINES), None)
    if command_line:
        return f"it is a command of {command_line}, which reads the command line and exits; name the function behind it"
    called = _called_in_the_end(function)
    if isinstance(called, _CACHE):
        return "it has a cache (functools.lru_cache), so that equal messages run once; name a function without it"
    if inspect.isclass(called):
        return "it is a class, and a call only makes an object; name a function, or an object that has __call__"
    return _code_problem(called, getattr(called, "__code__", None))


def _code_problem(called: Any, code: Any) -> str | None:
    flags = getattr(code, "co_flags", 0)
    if flags & inspect.CO_ASYNC_GENERATOR or (
        flags & inspect.CO_GENERATOR and not flags & inspect.CO_ITERABLE_COROUTINE
    ):
        kind = "an async generator" if flags & inspect.CO_ASYNC_GENERATOR else "a generator"
        return f"it is {kind} function, whose body a call does not run; write it without yield"
    if code in _MANAGERS:
        return "it is a context manager, whose body a call does not run; write it without contextmanager"
    if code is _IN_A_BLOCK and _is_async(called):
        return "its decorator is a context manager that exits before an async body runs; write async def and with"
    if code is not None and code is _IN_AN_ASYNC_BLOCK and not _is_async(called):
        return "its decorator is an async context manager, and awaits what it decorates; write it as async def"
    return None


def _is_async(decorated: Any) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(decorated.__wrapped__))


def _called_in_the_end(function: Any) -> Any:
    """The function or class that a call reaches through partials, methods and `__call__`."""
    for _ in range(_MAX_WRAPPERS):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, _CACHE) or inspect.isclass(function) or inspect.isfunction(function):
            break
        elif inspect.ismethod(function) or isinstance(function, (staticmethod, classmethod)):
            function = function.__func__
        else:
            call = getattr(type(function), "__call__", None)  # noqa: B004 - it is looked into
            if not (inspect.isfunction(call) or isinstance(call, functools.partial)):
                break
            function = call
    return function
