"""A handler and an app whose messages fail, for the debugger."""

from __future__ import annotations

import json
from typing import Any

from bizzmq import App

app = App()


def handler(body: Any) -> None:
    secret = 6 * 7
    if body != "fine":
        json.loads("{" + str(secret))


async def later(body: Any) -> None:
    waited = str(body)
    raise LookupError(waited)


@app.task(name="divide", queue="q")
def divide(by: int) -> float:
    return 1 / by
