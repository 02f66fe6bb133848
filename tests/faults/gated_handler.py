"""A handler that waits for the test in each delivery: for pools, as `tests.faults.gated_handler:handler`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import handlers
from tests.support.actions import ACTIONS, wait_for_file

HANDLER = "tests.faults.gated_handler:handler"


def handler(body: Any, context: handlers.HandlerContext) -> Any:
    """Delivery n waits for its gate, then does the nth of body["actions"], or the last one."""
    with handlers._recorded(context):
        actions = body["actions"]
        wait_for_file({"path": _file(body["gate"], context.delivery)})
        return ACTIONS[actions[min(context.delivery, len(actions)) - 1]](body)


def _file(path: str, delivery: int) -> str:
    return f"{path}.{delivery}"


class Gate:
    """The gate of one message: the test opens it to let a delivery continue."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def body(self, *actions: str, **fields: Any) -> dict[str, Any]:
        """The body of a message behind this gate, with one action for each delivery, "ok" by default."""
        return {"gate": self._path, "actions": list(actions or ("ok",)), **fields}

    def open(self, *deliveries: int) -> None:
        """Let these deliveries continue; all of them without arguments."""
        for delivery in deliveries or range(1, 10):
            Path(_file(self._path, delivery)).touch()
