"""P13 and P14: handlers that exit, raise a BaseException, or crash their process."""

from __future__ import annotations

import time

import pytest

from bizzmq.testing import invariants
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import QUEUE, SOON_S, Scene, log_says


@pytest.mark.usually(1)
@pytest.mark.parametrize("code", [0, 3, 70])
def test_an_exit_with_any_code_is_a_crash_of_the_worker(scene: Scene, code: int) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body("os_exit", "ok", code=code))
    gate.open(1)

    run = scene.ledger.wait_started(message, runs=2)

    assert run.pid not in {first.pid for first in scene.ledger.runs_of(message)[:-1]}
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
    log_says(pool, f"exited with code {code}")
    gate.open(2)
    scene.settle(extra_runs=1)
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", ["exit", "keyboard_interrupt", "base_exception"])
def test_any_exception_of_a_handler_fails_its_message_and_not_its_worker(scene: Scene, action: str) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    (worker,) = pool.worker_pids()
    gate = scene.gate()
    message = scene.publish_one(gate.body(action, "ok"))
    gate.open(1)

    run = scene.ledger.wait_started(message, runs=2)

    assert run.pid == worker
    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    gate.open(2)
    scene.settle(extra_runs=1)
    assert pool.started_worker_pids() == [worker]
    scene.retire(pool, tracebacks=1)


@pytest.mark.parametrize(("action", "name"), [("segv", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_crash_in_c_is_named_and_its_message_runs_again_within_a_second(scene: Scene, action: str, name: str) -> None:
    pool = scene.pool(handler=HANDLER)
    first_ids = set(scene.registered())
    delays_s = []
    for crashes in range(1, 4):
        gate = scene.gate()
        message = scene.publish_one(gate.body(action, "ok"))
        scene.ledger.wait_started(message)
        crashed_s = time.monotonic()
        gate.open(1)
        run = scene.ledger.wait_started(message, runs=2)
        delays_s.append(run.start.time_s - crashed_s)
        scene.figures.recovered(delays_s[-1])
        assert run.delivery == 2
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
        log_says(pool, f"was killed by {name}", times=crashes)
        gate.open(2)

    assert min(delays_s) < SOON_S, delays_s
    pool.wait_ready()
    assert not set(scene.registered()) >= first_ids, "a slot was respawned under its old id"
    scene.settle(extra_runs=3)
    scene.retire(pool)
