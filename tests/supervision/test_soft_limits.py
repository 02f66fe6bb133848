"""The soft time limit: `MessageTimeout` is raised in the handler, which can clean up, and its message fails."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq import QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.supervision.limit_handlers import ASYNC_HANDLER, CAUGHT, CLEANED, HANDLER, LIMIT

NEVER = "/never/there"
LIMIT_S = 0.8
"""Longer than the ledger may have to wait for its disk."""
TIMED = "timed"


def events_of(scene: Scene, kind: str, message: str) -> list[dict[str, Any]]:
    """The events of this kind that the deliveries of a message recorded."""
    return [dict(event.fields) for event in scene.ledger.events(kind) if event.id == message]


def error_of(scene: Scene, message: str, queue: str = QUEUE) -> dict[str, Any]:
    """Wait for a dead letter and return its error record."""
    stored = eventually(
        lambda: envelope_of(scene.redis, f"{queue}_dlq", message), PATIENCE_S, ignoring=(AssertionError,)
    )
    assert stored.error is not None
    return dict(stored.error)


def test_the_limit_of_the_message_overrides_the_queues_and_that_the_command_lines(scene: Scene) -> None:
    scene.mq.create_queue(TIMED, QueueOptions(timeout_s=200.0))
    own = {"timeout_s": 100.0}
    published = {
        300.0: scene.publish_one({"do": "ok"}),
        200.0: scene.publish_one({"do": "ok"}, queue=TIMED),
        100.0: scene.publish_one({"do": "ok"}, queue=TIMED, **own),
        100.5: scene.publish_one({"do": "ok"}, timeout_s=100.5),
    }

    scene.pool("--timeout=300", handler=HANDLER, queue=[QUEUE, TIMED], concurrency=1)
    scene.ledger.wait_handled(timeout_s=PATIENCE_S)

    for limit_s, message in published.items():
        (limit,) = events_of(scene, LIMIT, message)
        assert limit["timeout_s"] == limit_s
        assert 0 < limit["left_s"] <= limit_s


def test_without_any_limit_there_is_none(scene: Scene) -> None:
    message = scene.publish_one({"do": "ok"})

    scene.pool(handler=HANDLER, concurrency=1)
    scene.ledger.wait_handled(timeout_s=PATIENCE_S)

    assert events_of(scene, LIMIT, message) == [{"timeout_s": None, "left_s": None}]


@pytest.mark.usually(2)
@pytest.mark.parametrize("source", ["message", "queue", "command line"])
def test_the_limit_works_from_each_source(scene: Scene, source: str) -> None:
    on_queue = QueueOptions(config_dead_letter_queue=True, timeout_s=LIMIT_S if source == "queue" else None)
    scene.mq.create_queue(TIMED, on_queue)
    own = {"timeout_s": LIMIT_S} if source == "message" else {}
    pool = scene.pool(
        f"--timeout={LIMIT_S if source == 'command line' else 300}", handler=HANDLER, queue=TIMED, concurrency=1
    )
    message = scene.publish_one({"do": "wait_for_file", "path": NEVER}, queue=TIMED, retries=0, **own)

    error = error_of(scene, message, TIMED)

    assert error["error_type"] == "MessageTimeout"
    assert f"time limit of {LIMIT_S} s" in error["error"]
    assert "worker died" not in pool.log(), "no worker had to be killed for it"


@pytest.mark.usually(2, every=3)
@pytest.mark.parametrize(
    ("handler", "action"),
    [
        (HANDLER, "wait_for_file"),
        (HANDLER, "hang"),
        (HANDLER, "wait_for_lock"),
        (ASYNC_HANDLER, "await"),
        (ASYNC_HANDLER, "hang"),
    ],
)
def test_a_handler_can_catch_it_and_clean_up_and_the_message_fails_once(
    scene: Scene, handler: str, action: str
) -> None:
    pool = scene.pool("--timeout-grace=30", handler=handler, concurrency=1)
    (worker,) = pool.worker_pids()

    message = scene.publish_one({"do": action, "path": NEVER, "times": 9}, timeout_s=LIMIT_S, retries=1)

    error = error_of(scene, message)
    assert (error["error_type"], error["retry_count"], error["delivery"]) == ("MessageTimeout", 1, 2)
    assert "limit_handlers.py" in error["traceback"], "the stack of the handler is what its author needs"
    assert "last_crash" not in error
    caught = events_of(scene, CAUGHT, message)
    assert [one["error"] for one in caught] == ["MessageTimeout"] * 2
    assert [one["left_s"] for one in caught] == [0.0, 0.0]
    assert len(events_of(scene, CLEANED, message)) == 2
    runs = scene.ledger.runs_of(message)
    assert [run.end is not None for run in runs] == [True] * 2
    assert runs[0].pid == worker
    assert runs[1].pid != worker, "a limit has interrupted it"
    assert scene.mq.stats(QUEUE).retried == 1
    scene.settle(dead_lettered=1, extra_runs=1)
    scene.retire(pool, tracebacks=2)


@pytest.mark.parametrize(("handler", "action"), [(HANDLER, "wait_for_file"), (ASYNC_HANDLER, "await")])
def test_it_counts_as_a_failure_and_not_as_a_crash(scene: Scene, handler: str, action: str) -> None:
    scene.pool(handler=handler, concurrency=1)
    scene.redis.hset("bizzmq:{q}:meta", "retry_backoff_s", "60")  # so that it can be read in between
    message = scene.publish_one({"do": action, "path": NEVER}, timeout_s=LIMIT_S)

    eventually(lambda: scene.mq.stats(QUEUE).retried == 1, PATIENCE_S)

    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    scene.check_stored()


@pytest.mark.parametrize("handler", [HANDLER, ASYNC_HANDLER])
@pytest.mark.parametrize(("limit", "after"), [("--timeout=0.3", "wait_for_file"), ("--cpu-limit=0.3", "hang")])
def test_a_limit_raised_in_a_finalizer_is_raised_again(scene: Scene, handler: str, limit: str, after: str) -> None:
    pool = scene.pool("--timeout-grace=30", limit, handler=handler, concurrency=1)

    message = scene.publish_one({"do": "finalize", "after": after, "path": NEVER}, retries=0)

    assert error_of(scene, message)["error_type"] in ("MessageTimeout", "CpuTimeExceeded")
    assert len(events_of(scene, CLEANED, message)) == 1
    assert "ignored" not in pool.log()
    assert "worker died" not in pool.log()


@pytest.mark.parametrize(("handler", "action"), [(HANDLER, "hang"), (ASYNC_HANDLER, "await")])
def test_a_handler_that_swallows_it_and_returns_has_succeeded(scene: Scene, handler: str, action: str) -> None:
    pool = scene.pool(handler=handler, concurrency=1)

    message = scene.publish_one({"do": action, "then": "return"}, timeout_s=LIMIT_S)

    scene.settle(extra_runs=0)
    assert scene.ledger.handled() == {message}
    assert scene.mq.stats(QUEUE).acked == 1
    scene.retire(pool)


@pytest.mark.parametrize(("handler", "action"), [(HANDLER, "hang"), (ASYNC_HANDLER, "await")])
def test_no_limit_leaks_into_the_next_message(scene: Scene, handler: str, action: str) -> None:
    pool = scene.pool("--timeout-grace=1", handler=handler, concurrency=1)
    (worker,) = pool.worker_pids()
    scene.publish_one({"do": "ok"}, timeout_s=LIMIT_S)
    scene.publish_one({"do": action, "then": "return"}, timeout_s=LIMIT_S)
    longer = scene.publish({"do": "sleep", "sleep_s": LIMIT_S + 1.5}, {"do": "ok"})

    scene.settle(extra_runs=0)

    assert set(longer) <= scene.ledger.handled()
    assert not [message for message in longer if events_of(scene, CAUGHT, message)]
    assert [event.pid == worker for event in scene.ledger.starts()] == [True, True, False, False]
    scene.retire(pool)
