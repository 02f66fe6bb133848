"""Handlers for pools under test, named `tests.handlers:NAME`: a Pool runs in the project's root.

All except the noops record a start and an end in the ledger, the end with the outcome "ok" or "error".
A start without an end means that the process died.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Iterator, Protocol

from bizzmq.testing.ledger import END, START, record
from tests.support import actions


class HandlerContext(Protocol):
    """The part of the handler's context that is used here."""

    @property
    def id(self) -> str: ...

    @property
    def queue(self) -> str: ...

    @property
    def delivery(self) -> int: ...

    @property
    def retry_count(self) -> int: ...


def noop(body: Any) -> None:
    """Do nothing: for measuring the cost of the pool itself."""


async def async_noop(body: Any) -> None:
    """Like noop, async."""


def ok(body: Any, context: HandlerContext) -> None:
    with _recorded(context):
        pass


def slow(body: Any, context: HandlerContext) -> None:
    """Sleep for body["sleep_s"] seconds."""
    with _recorded(context):
        actions.sleep(body)


def cpu(body: Any, context: HandlerContext) -> int:
    """Use body["cpu_s"] seconds of CPU time."""
    with _recorded(context):
        return actions.cpu(body)


def fail(body: Any, context: HandlerContext) -> None:
    """Raise ActionError for every body."""
    with _recorded(context):
        raise actions.ActionError("this handler always fails")


def by_body(body: Any, context: HandlerContext) -> Any:
    """Do the action that body["do"] names (see tests/support/actions.py), "ok" by default.

    With body["times"] only the first body["times"] deliveries do it, and later ones succeed.
    """
    with _recorded(context) as end:
        result = _action(body, context)(body)
        if isinstance(result, BaseException):
            end["outcome"] = "error"
        return result


async def async_ok(body: Any, context: HandlerContext) -> None:
    with _recorded(context):
        await asyncio.sleep(0)


async def async_slow(body: Any, context: HandlerContext) -> None:
    """Sleep for body["sleep_s"] seconds in the event loop."""
    with _recorded(context):
        await asyncio.sleep(body["sleep_s"])


async def async_fail(body: Any, context: HandlerContext) -> None:
    with _recorded(context):
        await asyncio.sleep(0)
        raise actions.ActionError("this handler always fails")


async def async_by_body(body: Any, context: HandlerContext) -> Any:
    """Like by_body; the action runs in the thread of the event loop."""
    await asyncio.sleep(0)
    return by_body(body, context)


def _action(body: Any, context: HandlerContext) -> Any:
    if not isinstance(body, dict) or context.delivery > body.get("times", context.delivery):
        return actions.ok
    return actions.ACTIONS[body.get("do", "ok")]


@contextlib.contextmanager
def _recorded(context: HandlerContext) -> Iterator[dict[str, str]]:
    """Record the start, then the end with the fields of the yielded dict."""
    record(START, context.id, queue=context.queue, delivery=context.delivery, retry_count=context.retry_count)
    end = {"outcome": "ok"}
    try:
        yield end
    except BaseException:
        end["outcome"] = "error"
        raise
    finally:
        record(END, context.id, **end)
