"""The two memory limits: a worker above the soft limit is replaced after its message, above the hard one killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.limit_handlers import HANDLER
from tests.supervision.pool_status import socket_of, wait_for_status
from tests.supervision.test_soft_limits import NEVER, error_of

MEGABYTE = 1_000_000
SOFT_MB, HARD_MB = 150, 250
"""A worker uses 30 to 50 MB; in these tests memory grows far beyond the limit."""


@pytest.mark.parametrize("metric", ["rss", "pss"])
def test_a_worker_that_has_grown_exits_after_its_message_when_its_replacement_is_ready(
    scene: Scene, runtime: Path, tmp_path: Path, metric: str
) -> None:
    pool = scene.pool(
        f"--max-memory={SOFT_MB}", f"--memory-metric={metric}", "--log-level=debug", handler=HANDLER, concurrency=1
    )
    (old,) = pool.worker_pids()
    path = tmp_path / "go-on"
    message = scene.publish_one({"do": "grow", "bytes": 250 * MEGABYTE, "path": str(path)})
    scene.ledger.wait_started(message)

    log_says(pool, "worker has grown, replacing it")
    log_says(pool, "worker ready", times=2)

    assert old in pool.worker_pids(), "its message still runs"
    assert scene.held() == [message]
    after = scene.publish_one({"do": "ok"})
    scene.ledger.wait_handled(after, timeout_s=PATIENCE_S)
    path.touch()
    log_says(pool, "worker left")
    scene.settle(extra_runs=0)
    assert scene.ledger.handled() == {message, after}
    eventually(lambda: old not in pool.worker_pids(), PATIENCE_S)
    wait_for_status(socket_of(pool, runtime), lambda status: status["working"] == 1)
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_a_worker_that_stays_below_the_limits_stays(scene: Scene) -> None:
    pool = scene.pool(f"--max-memory={SOFT_MB}", f"--kill-memory={HARD_MB}", handler=HANDLER, concurrency=1)
    (worker,) = pool.worker_pids()

    scene.publish(*[{"do": "sleep", "sleep_s": 0.3}] * 6)  # several checks of its memory

    scene.settle(extra_runs=0)
    assert pool.started_worker_pids() == [worker]
    scene.retire(pool)


@pytest.mark.parametrize("metric", ["rss", "pss"])
def test_a_worker_that_continues_to_grow_is_killed_and_its_message_fails(scene: Scene, metric: str) -> None:
    pool = scene.pool(
        f"--kill-memory={HARD_MB}", f"--memory-metric={metric}", "--max-crashes=1", handler=HANDLER, concurrency=2
    )
    leak = {"do": "grow", "bytes": 400 * MEGABYTE, "path": NEVER, "times": 9}

    message = scene.publish_one(leak, retries=1)
    others = scene.publish(*[{"do": "ok"}] * 50)

    error = error_of(scene, message)
    assert error["error_type"] == "MemoryLimitExceeded"
    assert f"over {HARD_MB}" in error["error"]
    assert (error["signal"], error["retry_count"], error["delivery"]) == ("SIGKILL", 1, 2)
    assert error["peak_memory_bytes"] > HARD_MB * MEGABYTE, "it was measured while it grew"
    scene.settle(dead_lettered=1, extra_runs=1)
    assert scene.ledger.handled() == set(others)
    assert scene.mq.stats(QUEUE).retried == 1
    assert pool.exit_code is None
    scene.retire(pool)


def test_that_is_a_failure_and_not_a_crash(scene: Scene) -> None:
    scene.redis.hset("bizzmq:{q}:meta", "retry_backoff_s", "60")  # so that it can be read in between
    pool = scene.pool(f"--kill-memory={HARD_MB}", handler=HANDLER, concurrency=1)

    message = scene.publish_one({"do": "grow", "bytes": 400 * MEGABYTE, "path": NEVER})

    eventually(lambda: scene.mq.stats(QUEUE).retried == 1, PATIENCE_S)
    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    log_says(pool, "was killed because it had grown to")
    scene.check_stored()


def test_between_the_limits_a_worker_is_replaced_and_not_killed(scene: Scene) -> None:
    pool = scene.pool(
        f"--max-memory={SOFT_MB}", "--kill-memory=2000", "--log-level=debug", handler=HANDLER, concurrency=2
    )

    for number in range(1, 3):
        scene.publish_one({"do": "leak", "bytes": 300 * MEGABYTE})
        log_says(pool, "worker left", times=number)

    scene.settle(extra_runs=0)
    assert "worker died" not in pool.log()
    scene.retire(pool)
