"""Handlers that record the effects of their limits: for pools, as `tests.supervision.limit_handlers:NAME`.

In addition to start and end, they record `limit` at the start, `caught` for an exception of a limit or a drain, and
`cleaned` from a `finally`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable

from bizzmq.context import Context
from bizzmq.errors import Draining, MessageCancelled, MessageTimeout
from bizzmq.testing.ledger import record
from tests import handlers
from tests.support import actions

HANDLER = "tests.supervision.limit_handlers:handler"
ASYNC_HANDLER = "tests.supervision.limit_handlers:async_handler"
LIMIT, CAUGHT, CLEANED = "limit", "caught", "cleaned"
_POLL_S = 0.005


def handler(body: Any, context: Context) -> Any:
    """Do body["do"] (a name of tests/support/actions.py, or below) in the first body["times"] deliveries.

    An exception of a limit leaves the handler, unless body["then"] names another action to do, or "return".
    """
    with handlers._recorded(context):
        record(LIMIT, context.id, timeout_s=context.timeout_s, left_s=context.time_left_s)
        try:
            return _action(body, context)
        except (MessageTimeout, MessageCancelled, Draining) as late:
            _caught(context, late)
            return _then(body, late)
        finally:
            record(CLEANED, context.id)


async def async_handler(body: Any, context: Context) -> Any:
    """Like handler, but "await" and "await_stoppable" (which asks for Draining) await forever."""
    with handlers._recorded(context):
        try:
            await asyncio.sleep(0)
            if not body["do"].startswith("await"):
                return _action(body, context)
            if body["do"] == "await_stoppable":
                context.raise_on_drain()
            if context.delivery <= body.get("times", 1):
                await asyncio.sleep(3600)
        except (MessageTimeout, MessageCancelled, Draining) as late:
            await asyncio.sleep(0.01)  # cleaning up may take a moment, and await
            _caught(context, late)
            return _then(body, late)
        finally:
            record(CLEANED, context.id)


def _action(body: Any, context: Context) -> Any:
    if context.delivery > body.get("times", 1):
        return None
    name = body["do"]
    if name in _OWN:
        return _OWN[name](body, context)
    return actions.ACTIONS[name](body)


def _caught(context: Context, late: BaseException) -> None:
    record(CAUGHT, context.id, error=type(late).__name__, text=str(late), left_s=context.time_left_s)


def _then(body: Any, late: BaseException) -> Any:
    then = body.get("then", "raise")
    if then == "raise":
        raise late
    return None if then == "return" else actions.ACTIONS[then](body)


def _grow(body: Any, context: Context) -> None:
    """{"bytes": number, "path": file}: use `bytes` bytes of memory until the test creates the file."""
    actions.leak(body)
    actions.wait_for_file(body)


def _with_child(body: Any, context: Context) -> None:
    """{"path": file}: start a process that outlives the handler, then wait for the file."""
    actions.leave_grandchild(body)
    actions.wait_for_file(body)


def _stoppable(body: Any, context: Context) -> None:
    """{"path": file}: ask for Draining, and wait for the file or for Draining."""
    context.raise_on_drain()
    actions.wait_for_file(body)


def _watch_drain(body: Any, context: Context) -> None:
    """{"path": file}: record the time left when a drain starts, then wait for the file."""
    while not context.draining:
        time.sleep(_POLL_S)
    record("draining", context.id, left_s=context.time_left_s)
    actions.wait_for_file(body)


class _SlowToEnd:
    """Has a finalizer that computes forever: Python drops exceptions raised in it."""

    def __del__(self) -> None:
        while True:
            pass


def _finalize(body: Any, context: Context) -> None:
    """{"after": action}: be interrupted in a finalizer; after it, do another action."""
    _SlowToEnd()
    actions.ACTIONS[body["after"]](body)


def _deaf(body: Any, context: Context) -> None:
    """Ask for Draining, then swallow every exception."""
    context.raise_on_drain()
    while True:
        try:
            time.sleep(60)
        except BaseException as error:  # noqa: BLE001 - that is what it is for
            _caught(context, error)


_OWN: dict[str, Callable[[Any, Context], Any]] = {
    "grow": _grow,
    "with_child": _with_child,
    "stoppable": _stoppable,
    "watch_drain": _watch_drain,
    "deaf": _deaf,
    "finalize": _finalize,
}
