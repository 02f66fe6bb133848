"""A handler that returns a value: for pools, as `tests.faults.result_handler:handler`."""

from __future__ import annotations

from typing import Any

from tests import handlers
from tests.support.actions import ACTIONS, wait_for_file

HANDLER = "tests.faults.result_handler:handler"


def handler(body: Any, context: handlers.HandlerContext) -> Any:
    """Wait for the gate, if the body names one; do the action, "ok" by default; return the id and some padding."""
    with handlers._recorded(context):
        if "gate" in body:
            wait_for_file({"path": f"{body['gate']}.{context.delivery}"})
        ACTIONS[body.get("do", "ok")](body)
        return value_of(context.id, body.get("size", 0))


def value_of(message_id: str, size: int = 0) -> Any:
    """The result of a message."""
    return {"id": message_id, "padding": "x" * size}
