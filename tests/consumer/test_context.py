"""The context of a handler: facts about its delivery, and the parameter that receives it."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest

from bizzmq import Context, DecodeError, Message
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.ids import MessageIds
from bizzmq.worker_state import WorkerState
from tests.consumer.handler_runs import run

ID = MessageIds("publish").take(1_800_000_000_500_000, 1)[0]
MESSAGE = Message(ID, "q", {"body": 1}, priority=4, error={"error": "e"})


def context(timeout_s: float | None = None, started_s: float = 0.0, drain: WorkerState | None = None) -> Context:
    return Context(MESSAGE, Attempts(1, 2, 3, 4), started_s, timeout_s, drain or WorkerState())


def test_a_context_has_the_facts_of_the_delivery() -> None:
    shown = context()

    assert (shown.id, shown.queue, shown.priority, shown.error) == (ID, "q", 4, {"error": "e"})
    assert (shown.retry_count, shown.delivery) == (1, 7)
    assert shown.published_at_s == 1_800_000_000.5
    assert "body" not in repr(shown)


def test_a_context_has_the_start_of_the_delivery() -> None:
    before_s = time.time()

    shown = context(started_s=time.monotonic())

    assert before_s - 1 < shown.started_at_s < time.time() + 1


def test_time_left_is_the_sooner_of_time_limit_and_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bizzmq.utils.clock.monotonic", lambda: 100.0)
    drain = WorkerState()

    assert context(started_s=90.0, drain=drain).time_left_s is None
    assert context(timeout_s=15.0, started_s=90.0, drain=drain).time_left_s == 5.0
    assert context(timeout_s=5.0, started_s=90.0, drain=drain).time_left_s == 0.0
    drain.drain_at_s = 103.0
    assert context(started_s=90.0, drain=drain).time_left_s == 3.0
    assert context(timeout_s=11.0, started_s=90.0, drain=drain).time_left_s == 1.0
    assert context(started_s=90.0).running_for_s == 10.0


def test_a_forged_id_has_no_publish_time() -> None:
    forged = Context(Message("no id", "q", 1), Attempts(), 0.0, None, WorkerState())

    with pytest.raises(DecodeError):
        _ = forged.published_at_s


called: list[Any] = []


def giving(extra: Any) -> Any:
    """A decorator that supplies the second argument."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(body: Any) -> None:
            function(body, extra)

        return wrapper

    return decorate


@giving("from a decorator")
def decorated(body: Any, database: Any) -> None:
    called.append((body, database))


def with_attempts(body: Any, attempts: int = 3) -> None:
    called.append((body, attempts))


def with_context_named(body: Any, context: Any = None) -> None:
    called.append((body, context.queue))


def with_context_annotated(body: Any, about: Context | None = None) -> None:
    called.append((body, about and about.queue))


def with_ctx(body: Any, ctx: Any) -> None:
    called.append((body, ctx.queue))


def test_the_second_parameter_receives_the_context_only_if_it_is_meant_for_it() -> None:
    called.clear()
    handlers = [decorated, with_attempts, with_context_named, with_context_annotated, with_ctx]

    assert [run(one) for one in handlers] == [None] * 5

    assert [seen for _, seen in called] == ["from a decorator", 3, *["q"] * 3]
