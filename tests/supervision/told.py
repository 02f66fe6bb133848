"""Handlers that write down what they know of their delivery and their process: `tests.supervision.told:NAME`."""

from __future__ import annotations

import gc
import resource
from typing import Any

from bizzmq.context import Context
from bizzmq.testing.ledger import record
from tests import handlers

HANDLER = "tests.supervision.told:handler"
TOLD = "told"


def handler(body: Any, context: Context) -> Any:
    """Write it down, then do as by_body does."""
    record(TOLD, context.id, crash=context.last_crash, frozen=gc.get_freeze_count())
    return handlers.by_body(body, context)


def limits(body: Any, context: Context) -> None:
    """Write down the limits that a process would inherit from here."""
    with handlers._recorded(context):
        record(TOLD, context.id, cpu=resource.getrlimit(resource.RLIMIT_CPU))
