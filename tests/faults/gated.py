"""A handler whose every delivery waits for the test: for pools, as `tests.faults.gated:handler`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import handlers
from tests.support.deeds import DEEDS, wait_for_file

HANDLER = "tests.faults.gated:handler"


def handler(body: Any, context: handlers.HandlerContext) -> Any:
    """Delivery n waits for its gate, then does the nth of body["deeds"], or the last one."""
    with handlers._recorded(context):
        deeds = body["deeds"]
        wait_for_file({"path": _file(body["gate"], context.delivery)})
        return DEEDS[deeds[min(context.delivery, len(deeds)) - 1]](body)


def _file(path: str, delivery: int) -> str:
    return f"{path}.{delivery}"


class Gate:
    """What the test opens to let the deliveries of one message go on."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def body(self, *deeds: str, **fields: Any) -> dict[str, Any]:
        """A message behind this gate that does one deed in each delivery, "ok" by default."""
        return {"gate": self._path, "deeds": list(deeds or ("ok",)), **fields}

    def open(self, *deliveries: int) -> None:
        """Let these deliveries go on; all of them if none is named."""
        for delivery in deliveries or range(1, 10):
            Path(_file(self._path, delivery)).touch()
