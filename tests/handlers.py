"""Handlers for pools under test, named `tests.handlers:NAME`: a Pool runs in the project's root.

All but the noops write a start and an end into the ledger, the end with the outcome "ok" or "error".
Whatever kills the process leaves a start without an end.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Iterator, Protocol

from bizzmq.testing.ledger import END, START, record
from tests.support import deeds


class HandlerContext(Protocol):
    """The part of a handler's context that is used here."""

    @property
    def id(self) -> str: ...

    @property
    def queue(self) -> str: ...

    @property
    def delivery(self) -> int: ...

    @property
    def retry_count(self) -> int: ...


def noop(body: Any) -> None:
    """Nothing at all: for measuring what the pool itself costs."""


async def async_noop(body: Any) -> None:
    """As noop."""


def ok(body: Any, context: HandlerContext) -> None:
    with _recorded(context):
        pass


def slow(body: Any, context: HandlerContext) -> None:
    """Sleep for body["sleep_s"] seconds."""
    with _recorded(context):
        deeds.sleep(body)


def cpu(body: Any, context: HandlerContext) -> int:
    """Use body["cpu_s"] seconds of CPU time."""
    with _recorded(context):
        return deeds.cpu(body)


def fail(body: Any, context: HandlerContext) -> None:
    """Raise, whatever the body."""
    with _recorded(context):
        raise deeds.DeedError("this handler always fails")


def by_body(body: Any, context: HandlerContext) -> Any:
    """Do what body["do"] names (see tests/support/deeds.py); nothing if it names nothing.

    With body["times"] only the first so many deliveries do it and later ones succeed.
    """
    with _recorded(context) as end:
        result = _deed(body, context)(body)
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
        raise deeds.DeedError("this handler always fails")


async def async_by_body(body: Any, context: HandlerContext) -> Any:
    """As by_body; the deed itself is done in the event loop's thread."""
    await asyncio.sleep(0)
    return by_body(body, context)


def _deed(body: Any, context: HandlerContext) -> Any:
    if not isinstance(body, dict) or context.delivery > body.get("times", context.delivery):
        return deeds.ok
    return deeds.DEEDS[body.get("do", "ok")]


@contextlib.contextmanager
def _recorded(context: HandlerContext) -> Iterator[dict[str, str]]:
    """Record the start, then the end with what the yielded dict holds."""
    record(START, context.id, queue=context.queue, delivery=context.delivery, retry_count=context.retry_count)
    end = {"outcome": "ok"}
    try:
        yield end
    except BaseException:
        end["outcome"] = "error"
        raise
    finally:
        record(END, context.id, **end)
