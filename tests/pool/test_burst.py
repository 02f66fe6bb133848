"""`--burst`: the pool exits with 0 once nothing is left to do."""

from __future__ import annotations

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command
from tests.faults.scene import PATIENCE_S, QUEUE, Scene


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


def test_a_burst_on_an_empty_queue_exits_at_once(scene: Scene) -> None:
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


@pytest.mark.usually(2)
@pytest.mark.parametrize("queues", [["bad"], ["bad", QUEUE], [QUEUE, "bad"]])
def test_a_burst_gives_up_an_unusable_queue_after_its_patience(scene: Scene, queues: list[str]) -> None:
    scene.mq.create_queue("bad")
    command(scene.redis, "HSET", Keys("bad").meta, "max_retries", "many")
    good = scene.publish({"do": "ok"}, {"do": "raise", "times": 1})

    pool = scene.pool("--burst", "--burst-patience=0.5", ready=False, queue=queues)

    assert pool.wait(PATIENCE_S) == 75, pool.log()
    (line,) = [line for line in pool.log().splitlines() if line.startswith("bizzmq-worker: ")]
    assert "bad" in line
    assert "max_retries" in line
    if QUEUE in queues:
        assert scene.ledger.handled() == set(good)
    pool.assert_no_process_left()
