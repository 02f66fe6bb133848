"""`--max-messages`: each worker exits after its replacement is ready, and nothing is lost."""

from __future__ import annotations

import re
from collections import Counter

from bizzmq.testing.wait import eventually
from tests.faults.scene import Scene, log_says


def test_recycled_workers_lose_nothing_and_cost_no_back_off(scene: Scene) -> None:
    pool = scene.pool("--max-messages=10", "--log-level=debug")
    scene.publish(*[{"do": "ok"}] * 300)

    # If they counted as deaths, the back-offs would add up to minutes.
    scene.settle(extra_runs=0)

    handled = Counter(event.pid for event in scene.ledger.ends())
    assert len(handled) >= 4
    assert set(handled) <= set(pool.started_worker_pids())
    eventually(lambda: len(scene.registered()) == 2, what="only the living workers to be registered")
    left = [int(count) for count in re.findall(r"worker left why=\S+ .*handled=(\d+)", pool.log())]
    assert left
    assert min(left) >= 9, "the limit is reduced by at most a tenth"
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_a_worker_exits_when_its_replacement_is_ready(scene: Scene) -> None:
    pool = scene.pool("--max-messages=1", "--log-level=debug", concurrency=1)
    for number in range(1, 6):
        scene.ledger.wait_handled(scene.publish_one({"do": "ok"}))
        log_says(pool, "worker left", times=number)

        ready, left = pool.log().rindex("worker ready"), pool.log().rindex("worker left")
        assert ready < left

    assert len({event.pid for event in scene.ledger.ends()}) == 5
    scene.settle(extra_runs=0)
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_a_worker_whose_messages_fail_is_recycled_too(scene: Scene) -> None:
    pool = scene.pool("--max-messages=1", "--log-level=debug", concurrency=1)
    scene.publish(*[{"do": "raise", "times": 1}] * 3, retries=1)

    scene.settle(extra_runs=3)

    log_says(pool, "worker left")
    assert "worker died" not in pool.log()
    scene.retire(pool, tracebacks=3)
