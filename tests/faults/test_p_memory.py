"""P16: handlers that leak. A worker's memory limit ends the worker or its message, never the pool."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.faults.limit_actions import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

MEGABYTE = 1_000_000
METRICS = pytest.mark.parametrize("metric", ["rss", "pss"])


@pytest.mark.usually(1)
@METRICS
def test_a_leak_beyond_the_hard_limit_costs_its_worker_and_fails_its_message(scene: Scene, metric: str) -> None:
    pool = scene.pool("--kill-memory=200", f"--memory-metric={metric}", handler=HANDLER)
    before = set(pool.worker_pids())
    leak = scene.publish_one({"do": "grow", "bytes": 250 * MEGABYTE, "path": "/never/there"}, retries=1)
    good = scene.publish(*[{"do": "sleep", "sleep_s": 0.002}] * 100)

    scene.settle(dead_lettered=1, extra_runs=1)

    runs = scene.ledger.runs_of(leak)
    assert [(run.delivery, run.end) for run in runs] == [(1, None), (2, None)]
    assert scene.ledger.handled() == set(good)
    error = envelope_of(scene.redis, f"{QUEUE}_dlq", leak).error
    assert error is not None
    assert (error["error_type"], error["retry_count"]) == ("MemoryLimitExceeded", 1)
    assert "had grown to" in error["error"]
    eventually(lambda: len(pool.worker_pids()) == 2, PATIENCE_S, pool.log)
    assert before - {run.pid for run in runs} <= set(pool.worker_pids()), "an innocent worker was replaced"
    assert pool.log().count("worker died") == 2
    scene.retire(pool)


def test_a_killed_leak_is_a_failure_and_not_a_crash(scene: Scene) -> None:
    pool = scene.pool("--kill-memory=200", handler=HANDLER, concurrency=1)
    scene.redis.hset(f"bizzmq:{{{QUEUE}}}:meta", "retry_backoff_s", "60")  # so that it can be read in between
    message = scene.publish_one({"do": "grow", "bytes": 250 * MEGABYTE, "path": "/never/there"})

    eventually(lambda: scene.totals().get("retried"), PATIENCE_S, pool.log)

    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    scene.check_stored()
    scene.retire(pool)


@pytest.mark.usually(1)
@METRICS
def test_a_worker_that_has_grown_is_replaced_after_its_message_and_never_in_it(
    scene: Scene, tmp_path: Path, metric: str
) -> None:
    pool = scene.pool("--max-memory=100", f"--memory-metric={metric}", "--log-level=debug", handler=HANDLER)
    gate = tmp_path / "gate"
    message = scene.publish_one({"do": "grow", "bytes": 150 * MEGABYTE, "path": str(gate)})
    grown = scene.ledger.wait_started(message).pid

    log_says(pool, "worker has grown, replacing it")
    eventually(lambda: len(pool.worker_pids()) == 3, PATIENCE_S, pool.log)
    log_says(pool, "worker ready", times=3)
    others = scene.publish(*[{"do": "ok"}] * 20)
    scene.ledger.wait_handled(*others, timeout_s=PATIENCE_S)

    assert psutil.pid_exists(grown)
    assert message in scene.held(), "its message was taken from it"
    gate.touch()
    scene.settle(extra_runs=0)
    log_says(pool, "worker left")
    eventually(lambda: grown not in pool.worker_pids() and len(scene.registered()) == 2, PATIENCE_S, pool.log)
    assert scene.ledger.runs_of(message)[-1].pid == grown
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_recycling_bounds_a_slow_leak_and_nothing_runs_twice(scene: Scene) -> None:
    pool = scene.pool("--max-memory=80", "--kill-memory=2000", "--log-level=debug", handler=HANDLER)
    scene.publish(*[{"do": "leak", "bytes": 2 * MEGABYTE}, {"do": "sleep", "sleep_s": 0.02}] * 100)

    scene.settle(extra_runs=0)

    log_says(pool, "worker left")
    assert len(scene.ledger.handled()) == 200
    assert len({event.pid for event in scene.ledger.starts()}) > 2, "no worker was replaced"
    assert "worker died" not in pool.log()
    assert scene.mq.stats(QUEUE).acked == 200
    scene.retire(pool)
