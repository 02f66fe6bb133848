"""Handlers that record what they know of their delivery and process: `tests.supervision.recording_handlers:NAME`."""

from __future__ import annotations

import gc
import resource
from typing import Any

from bizzmq.context import Context
from bizzmq.testing.ledger import record
from tests import handlers

HANDLER = "tests.supervision.recording_handlers:handler"
FACTS = "facts"


def handler(body: Any, context: Context) -> Any:
    """Record the crash and the frozen objects, then act like by_body."""
    record(FACTS, context.id, crash=context.last_crash, frozen=gc.get_freeze_count())
    return handlers.by_body(body, context)


def limits(body: Any, context: Context) -> None:
    """Record the limits that a child process would inherit."""
    with handlers._recorded(context):
        record(FACTS, context.id, cpu=resource.getrlimit(resource.RLIMIT_CPU))
