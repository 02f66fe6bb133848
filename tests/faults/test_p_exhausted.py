"""P21: fork fails. The pool survives, backs off, and recovers."""

from __future__ import annotations

import os
import signal
import sys
from typing import Callable, Iterator

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.faults.system_limits import (
    NOT_STARTED,
    TaskLimit,
    back_to_strength,
    handles_more,
    helper_comes_back,
    kill_worker,
)

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="prlimit and control groups exist on Linux only"
)

LimitTasks = Callable[[Pool], TaskLimit]


@pytest.fixture
def limit_tasks(scene: Scene) -> Iterator[LimitTasks]:
    """limit_tasks(pool): a TaskLimit of the pool for the time of the test."""
    made: list[tuple[Pool, TaskLimit]] = []

    def limit(pool: Pool) -> TaskLimit:
        try:
            made.append((pool, TaskLimit(pool)))
        except OSError as error:
            pytest.skip(f"processes of root cannot be limited here: {error}")
        return made[-1][1]

    yield limit
    for pool, tasks in made:
        pool.close()
        tasks.close()


@pytest.mark.usually(2, every=3)
@pytest.mark.parametrize("preload", ["on", "off"])
@pytest.mark.parametrize("spare", [0, 1], ids=["no fork at all", "one fork only"])
def test_a_worker_that_cannot_be_forked_is_retried_with_back_off(
    scene: Scene, limit_tasks: LimitTasks, preload: str, spare: int
) -> None:
    if spare and (preload == "off" or os.geteuid()):
        pytest.skip("only the template forks twice, and only a control group counts the pool alone")
    pool = scene.pool(f"--preload={preload}", handler="tests.handlers:by_body")
    tasks = limit_tasks(pool)

    tasks.forbid(spare - 1)  # one of the living workers dies now
    kill_worker(pool)
    with invariants.log_rate(pool.log):
        log_says(pool, NOT_STARTED, times=3)
        handles_more(scene)
    tasks.allow()

    back_to_strength(scene, pool)
    handles_more(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_messages_of_a_dead_worker_without_a_successor_are_handled_by_the_others(
    scene: Scene, limit_tasks: LimitTasks
) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    victim = scene.ledger.wait_started(message).pid
    tasks = limit_tasks(pool)

    tasks.forbid(-1)
    os.kill(victim, signal.SIGKILL)

    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    assert run.pid in pool.worker_pids()
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
    tasks.allow()
    back_to_strength(scene, pool)
    gate.open()
    scene.settle(extra_runs=1)
    scene.retire(pool)


@pytest.mark.parametrize("role", ["janitor", "template"])
def test_a_helper_that_cannot_be_forked_is_retried(scene: Scene, limit_tasks: LimitTasks, role: str) -> None:
    pool = scene.pool()
    tasks = limit_tasks(pool)
    former = pool.helper_pid(role)

    tasks.forbid(-1)
    os.kill(former, signal.SIGKILL)
    with invariants.log_rate(pool.log):
        reported = "the janitor could not be started" if role == "janitor" else "the template could not be forked"
        log_says(pool, reported, times=3)
        handles_more(scene)
    tasks.allow()

    helper_comes_back(scene, pool, role, former)


def test_a_reload_that_cannot_fork_leaves_the_old_code_at_work(scene: Scene, limit_tasks: LimitTasks) -> None:
    pool = scene.pool()
    before = pool.worker_pids()
    tasks = limit_tasks(pool)

    tasks.forbid()
    pool.signal(signal.SIGHUP)
    log_says(pool, "reload failed, the old code stays")
    handles_more(scene)
    assert pool.worker_pids() == before
    tasks.allow()

    pool.signal(signal.SIGHUP)
    log_says(pool, "INFO    reloaded")
    handles_more(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_a_drain_needs_no_fork(scene: Scene, limit_tasks: LimitTasks) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    scene.ledger.wait_started(message)

    limit_tasks(pool).forbid()
    pool.signal(signal.SIGTERM)
    gate.open()

    scene.gone(pool)
    scene.settle(extra_runs=0)
