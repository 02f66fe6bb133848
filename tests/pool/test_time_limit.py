"""`timeout_s`: a message that runs past its limit is killed with its worker, and counts as a crash."""

from __future__ import annotations

from tests.faults.gated import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support import invariants
from tests.support.layout import envelope_of
from tests.support.wait import eventually

LIMIT_S = 0.3


def test_messages_that_hang_are_killed_retried_and_quarantined(scene: Scene) -> None:
    hung = scene.publish(
        *[{"do": deed} for deed in ("hang", "hold_gil", "wait_for_lock", "ignore_sigterm_sleep")], timeout_s=LIMIT_S
    )
    good = scene.publish(*[{"do": "ok"}] * 100)
    pool = scene.pool("--max-crashes=2", concurrency=4)

    scene.settle(dead_lettered=4, extra_runs=4, timeout_s=60.0)

    assert scene.ledger.handled() == set(good)
    for message in hung:
        assert [run.delivery for run in scene.ledger.runs_of(message)] == [1, 2]
        error = envelope_of(scene.redis, f"{QUEUE}_dlq", message).error
        assert error is not None
        assert error["crash_count"] == 2
        assert f"ran past its limit of {LIMIT_S} s" in error["error"]
    assert scene.mq.stats(QUEUE).retried == 0
    scene.retire(pool)


def test_a_message_that_hung_once_is_blamed_for_one_crash_and_may_succeed(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    (worker,) = pool.worker_pids()
    gate = scene.gate()
    message = scene.publish_one(gate.body("hang", "ok"), timeout_s=2.0)
    gate.open(1)

    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)

    assert (run.delivery, run.pid == worker) == (2, False)
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
    gate.open(2)
    scene.settle(extra_runs=1)
    log_says(pool, "ran past its limit of 2.0 s")
    scene.retire(pool)


def test_what_a_killed_message_had_started_dies_with_it(scene: Scene) -> None:
    pool = scene.pool(concurrency=1)
    child = scene.publish_one({"do": "leave_grandchild"})
    scene.ledger.wait_handled(child)
    before = len(pool.living())
    scene.publish_one({"do": "hang", "times": 1}, timeout_s=LIMIT_S)

    scene.settle(extra_runs=1)

    eventually(lambda: len(pool.living()) == before - 1, PATIENCE_S, pool.log)
    scene.retire(pool)
