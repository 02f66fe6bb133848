"""The handler of a pool under torture: the user's own, with a line in the ledger before and after each run."""

from __future__ import annotations

import inspect
import os
from typing import Any, Awaitable

from bizzmq.context import Context
from bizzmq.handler import HandlerImportError, UserHandler, load
from bizzmq.handler_shape import takes_context
from bizzmq.testing.ledger import END, START, TORTURED_VARIABLE, record

OK, ERROR = "ok", "error"


def _user_function() -> UserHandler:
    """The user's handler. What its module raises is raised as it is: the pool shows the user's error, not this file."""
    try:
        return load(os.environ[TORTURED_VARIABLE])
    except HandlerImportError as error:
        raise (error.__cause__ or error) from None


_function = _user_function()
_takes_context = takes_context(_function)


def handler(body: Any, context: Context) -> Any:
    """Whatever the user's handler returns or raises; an async one is awaited by whoever awaits this one."""
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
    if os.getpid() != worker:  # a copy that the handler has forked, and that came out of it: the run is not its own
        return
    if isinstance(result, BaseException):
        record(END, context.id, outcome=ERROR, error=type(result).__name__)
    else:
        record(END, context.id, outcome=OK)
