"""P17: handlers that hold the GIL in C, loop, or wait for a lock forever."""

from __future__ import annotations

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.faults.limit_actions import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

LIMIT_S = 1.0
"""Longer than a short message takes on a busy machine."""
ARGS = (f"--timeout={LIMIT_S}", "--timeout-grace=0.3")
KILLED = "was killed because the message ran past its limit"
DEAF = ["hold_gil", "deadlock_in_c", "swallow", "swallow_in_a_lock"]
"""Actions that do not notice MessageTimeout, or swallow it."""


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", DEAF)
def test_only_a_worker_that_misses_its_limit_is_killed(scene: Scene, action: str) -> None:
    pool = scene.pool(*ARGS, handler=HANDLER)
    before = set(pool.worker_pids())
    hung = scene.publish_one({"do": action}, retries=1)
    good = scene.publish(*[{"do": "sleep", "sleep_s": 0.002}] * 100)

    scene.settle(dead_lettered=1, extra_runs=1)

    first, second = scene.ledger.runs_of(hung)
    assert second.start.time_s - first.start.time_s >= LIMIT_S, "it was killed before its time"
    assert first.end is None
    assert second.pid != first.pid
    assert scene.ledger.handled() == set(good)
    error = envelope_of(scene.redis, f"{QUEUE}_dlq", hung).error
    assert error is not None
    assert (error["error_type"], error["retry_count"]) == ("MessageTimeout", 1)
    assert KILLED in error["error"]
    assert "last_crash" not in error, "an exceeded limit is not a crash"
    totals = scene.totals()
    assert (totals["acked"], totals["retried"], totals["dead_lettered"]) == (100, 1, 1)
    eventually(lambda: len(pool.worker_pids()) == 2, PATIENCE_S, pool.log)
    assert before - {first.pid, second.pid} <= set(pool.worker_pids()), "an innocent worker was replaced"
    assert pool.log().count("worker died") == 2
    scene.retire(pool)


@pytest.mark.usually(2)
@pytest.mark.parametrize("action", ["match", "power", "sleep_in_c", "wait_for_lock", "hang"])
def test_a_limit_ends_any_hanging_handler_and_its_message_may_still_succeed(scene: Scene, action: str) -> None:
    pool = scene.pool(*ARGS, handler=HANDLER, concurrency=1)
    message = scene.publish_one({"do": action, "times": 1})

    scene.settle(extra_runs=1)

    first, second = scene.ledger.runs_of(message)
    assert second.start.time_s - first.start.time_s >= LIMIT_S
    assert (second.delivery, second.succeeded) == (2, True)
    totals = scene.totals()
    assert (totals["acked"], totals["retried"]) == (1, 1)
    assert not totals.get("dead_lettered")
    scene.retire(pool, tracebacks=1)


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", DEAF)
def test_it_is_a_failure_and_not_a_crash(scene: Scene, action: str) -> None:
    pool = scene.pool(*ARGS, handler=HANDLER, concurrency=1)
    scene.redis.hset(f"bizzmq:{{{QUEUE}}}:meta", "retry_backoff_s", "60")  # so that it can be read in between
    message = scene.publish_one({"do": action})

    eventually(lambda: scene.totals().get("retried"), PATIENCE_S, pool.log)

    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    scene.check_stored()
    scene.retire(pool)


def test_when_every_worker_is_stuck_each_is_replaced_once_and_the_rest_is_handled(scene: Scene) -> None:
    pool = scene.pool(*ARGS, handler=HANDLER, concurrency=4)
    hung = scene.publish(*[{"do": action} for action in DEAF], retries=0)
    good = scene.publish(*[{"do": "ok"}] * 50)

    scene.settle(dead_lettered=4)

    assert scene.ledger.handled() == set(good)
    assert {run.id for run in scene.ledger.running()} == set(hung)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S, pool.log)
    log_says(pool, KILLED, times=4)
    eventually(lambda: len(pool.started_worker_pids()) == 8, PATIENCE_S, pool.log)
    scene.retire(pool)
