"""`--burst`: the pool leaves with 0 once nothing is left to do."""

from __future__ import annotations

from bizzmq.testing import invariants
from tests.faults.scene import QUEUE, Scene


def test_a_burst_ends_with_0_after_failing_and_delayed_messages(scene: Scene) -> None:
    scene.publish(*[{"do": "ok"}] * 50)
    scene.publish(*[{"do": "raise", "times": 1}] * 3)
    scene.publish(*[{"do": "raise"}] * 2, retries=1)
    scene.publish({"do": "ok"}, {"do": "raise", "times": 1}, delay_s=0.7)
    scene.publish({"do": "retry_later", "delay_s": 0.3, "times": 1})

    pool = scene.pool("--burst", ready=False)

    scene.gone(pool, tracebacks=8)
    scene.settle(dead_lettered=2, extra_runs=3 + 2 + 1 + 1)
    assert len(scene.ledger.handled()) == 50 + 3 + 2 + 1
    assert not scene.registered()


def test_a_burst_over_an_empty_queue_leaves_at_once(scene: Scene) -> None:
    pool = scene.pool("--burst", ready=False, queue=[QUEUE, "never-created"])

    scene.gone(pool)

    assert len(pool.started_worker_pids()) == 2
    assert "worker died" not in pool.log()


def test_a_burst_does_not_leave_a_crash_behind(scene: Scene) -> None:
    poison, innocent = scene.publish({"do": "kill_self"}, {"do": "os_exit", "times": 1})

    pool = scene.pool("--burst", ready=False)

    scene.gone(pool)
    scene.settle(dead_lettered=1, extra_runs=2 + 1)
    assert scene.ledger.handled() == {innocent}
    invariants.check_blame(scene.redis, f"{QUEUE}_dlq", poison)
