"""An app with tasks of every kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bizzmq import App, Context, Reject

NOWHERE = "redis://localhost:1"
"""A URL that nothing answers: what uses it has tried to connect."""


@pytest.fixture
def app() -> App:
    """An app whose tasks note in `app.state.ran` that they have run."""
    app = App(NOWHERE)
    app.state = SimpleNamespace(ran=[])

    @app.task(name="note")
    def note(text: str, times: int = 1) -> str:
        app.state.ran.append(text)
        return text * times

    @app.task(name="fail", max_retries=2, retry_delays_s=[3600, 7200])
    def fail(successes: int = 0) -> str:
        app.state.ran.append("fail")
        if len(app.state.ran) <= 3 - successes:
            raise ValueError(f"attempt {len(app.state.ran)}")
        return "done"

    @app.task(name="reject")
    def reject() -> None:
        raise Reject("never")

    @app.task(name="parent")
    def parent(context: Context, depth: int) -> None:
        app.state.ran.append(f"parent {depth}, delivery {context.delivery}")
        if depth:
            parent.publish(depth - 1)
        app.state.ran.append(f"end of {depth}")

    @app.task(name="endless")
    def endless() -> None:
        endless.publish()

    @app.task(name="coroutine")
    async def coroutine(text: str) -> str:
        app.state.ran.append(text)
        return text

    @app.task(name="raise_error")
    def raise_error() -> Any:
        raise app.state.error

    return app
