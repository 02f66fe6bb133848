"""The handler of a pool under torture: the user's handler, with a ledger line before and after each run."""

from __future__ import annotations

import inspect
import os
from typing import Any, Awaitable, Callable

from bizzmq.consumer.handlers.loader import HandlerImportError, load
from bizzmq.consumer.handlers.shape import takes_context
from bizzmq.context import Context
from bizzmq.testing.ledger import END, START, TORTURED_VARIABLE, record

OK, ERROR = "ok", "error"


def _user_function() -> Callable[..., Any]:
    """The user's handler. An error of its import is raised unchanged: the pool shows that error, not this file."""
    try:
        return load(os.environ[TORTURED_VARIABLE])
    except HandlerImportError as error:
        raise (error.__cause__ or error) from None


_function = _user_function()
_takes_context = takes_context(_function)


def handler(body: Any, context: Context) -> Any:
    """Returns or raises what the user's handler does; an async one is awaited by the caller of this one."""
    worker = os.getpid()
    record(START, context.id, delivery=context.delivery, queue=context.queue)
    try:
        result = _function(body, context) if _takes_context else _function(body)
    except BaseException as error:
        _ended(worker, context, error)
        raise
    if inspect.isawaitable(result):
        return _awaited(worker, context, result)
    _ended(worker, context, result)
    return result


async def _awaited(worker: int, context: Context, awaitable: Awaitable[Any]) -> Any:
    try:
        result = await awaitable
    except BaseException as error:
        _ended(worker, context, error)
        raise
    _ended(worker, context, result)
    return result


def _ended(worker: int, context: Context, result: Any) -> None:
    if os.getpid() != worker:  # a process that the handler forked has returned from it: this run is not its own
        return
    if isinstance(result, BaseException):
        record(END, context.id, outcome=ERROR, error=type(result).__name__)
    else:
        record(END, context.id, outcome=OK)
