"""A plain handler whose middleware waits for the test before a message of an unknown task goes back.

For pools only: an import adds the middleware to its process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bizzmq import Context, Middleware, add_middleware
from tests.support.actions import wait_for_file


class GatedRelease(Middleware):
    """Between the decision and its request to Redis."""

    def on_release(self, context: Context, _error: BaseException, _delay_s: float) -> None:
        gate = context.body["gate"]
        Path(f"{gate}.decided").touch()
        wait_for_file({"path": f"{gate}.{context.delivery}"})


def handler(_body: Any) -> None:
    raise AssertionError("the message belongs to a task")


add_middleware(GatedRelease())
