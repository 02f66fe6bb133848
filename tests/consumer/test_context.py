"""The context of a handler: facts about its delivery."""

from __future__ import annotations

import time

import pytest

from bizzmq import Context, DecodeError, Message
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.ids import MessageIds
from bizzmq.worker_state import WorkerState

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
