"""`--max-messages`: workers are replaced in order, and nothing is lost or delayed by it."""

from __future__ import annotations

from collections import Counter

from tests.faults.scene import Scene
from tests.support.wait import eventually


def test_recycled_workers_lose_nothing_and_cost_no_back_off(scene: Scene) -> None:
    pool = scene.pool("--max-messages=10")
    scene.publish(*[{"do": "ok"}] * 300)

    # 15 and more for each slot: were they taken for deaths, the waits would add up to minutes.
    scene.settle(extra_runs=0)

    handled = Counter(event.pid for event in scene.ledger.ends())
    assert max(handled.values()) == 10
    assert len(handled) >= 30
    assert set(handled) <= set(pool.started_worker_pids())
    eventually(lambda: len(scene.registered()) == 2, what="only the living workers to be registered")
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_a_worker_that_fails_its_messages_is_recycled_all_the_same(scene: Scene) -> None:
    pool = scene.pool("--max-messages=1", concurrency=1)
    scene.publish(*[{"do": "raise", "times": 1}] * 3, retries=1)

    scene.settle(extra_runs=3)

    assert max(Counter(event.pid for event in scene.ledger.starts()).values()) == 1
    assert "worker died" not in pool.log()
    scene.retire(pool, tracebacks=3)
