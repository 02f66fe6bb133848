"""`timeout_s`: a message that exceeds its limit fails, whether or not its handler reacts."""

from __future__ import annotations

from bizzmq.testing import invariants
from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

LIMIT_S = 0.3


def test_messages_that_hang_are_retried_and_dead_lettered(scene: Scene) -> None:
    actions = ("hang", "hold_gil", "wait_for_lock", "ignore_sigterm_sleep")
    hung = scene.publish(*[{"do": action} for action in actions], timeout_s=LIMIT_S, retries=1)
    good = scene.publish(*[{"do": "ok"}] * 100)
    pool = scene.pool("--timeout-grace=0.2", concurrency=4)

    scene.settle(dead_lettered=4, extra_runs=4, timeout_s=60.0)

    assert scene.ledger.handled() == set(good)
    for message in hung:
        assert [run.delivery for run in scene.ledger.runs_of(message)] == [1, 2]
        error = envelope_of(scene.redis, f"{QUEUE}_dlq", message).error
        assert error is not None
        assert error["error_type"] == "MessageTimeout"
        assert f"limit of {LIMIT_S} s" in error["error"]
        assert error["retry_count"] == 1
    totals = scene.mq.stats(QUEUE)
    assert (totals.retried, totals.dead_lettered) == (4, 4)
    scene.retire(pool, tracebacks=8)


def test_a_message_that_hung_once_failed_once_and_may_succeed(scene: Scene) -> None:
    pool = scene.pool("--timeout-grace=0.2", handler=HANDLER, concurrency=1)
    (worker,) = pool.worker_pids()
    gate = scene.gate()
    message = scene.publish_one(gate.body("hold_gil", "ok"), timeout_s=2.0)
    gate.open(1)

    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)

    assert (run.delivery, run.pid == worker) == (2, False), "it could not be interrupted, so its worker was killed"
    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    gate.open(2)
    scene.settle(extra_runs=1)
    log_says(pool, "ran past its limit of 2 s")
    scene.retire(pool)


def test_processes_of_a_killed_message_die_with_it(scene: Scene) -> None:
    pool = scene.pool("--timeout-grace=0.2", concurrency=1)
    child = scene.publish_one({"do": "leave_grandchild"})
    scene.ledger.wait_handled(child)
    before = len(pool.living())
    scene.publish_one({"do": "hold_gil", "times": 1}, timeout_s=LIMIT_S)

    scene.settle(extra_runs=1)

    eventually(lambda: len(pool.living()) == before - 1, PATIENCE_S, pool.log)
    scene.retire(pool)
