"""P8: the janitor is killed or stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says


def test_a_killed_janitor_is_replaced_and_worker_deaths_are_still_settled(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    worker = scene.ledger.wait_started(message).pid

    janitor = _replaced(pool, signal.SIGKILL)
    killed_s = time.monotonic()
    os.kill(worker, signal.SIGKILL)

    scene.runs_again(killed_s, message)
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
    assert pool.janitor_pid() == janitor
    gate.open()
    scene.settle(extra_runs=1)
    scene.retire(pool)


def test_requests_of_a_dead_janitor_are_sent_to_the_next_one(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    worker = scene.ledger.wait_started(message).pid
    janitor = pool.janitor_pid()

    os.kill(janitor, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    log_says(pool, "worker died")
    killed_s = time.monotonic()
    os.kill(janitor, signal.SIGKILL)

    scene.runs_again(killed_s, message)
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
    gate.open()
    scene.settle(extra_runs=1)
    scene.retire(pool)


def test_a_pool_that_loses_its_janitor_repeatedly_continues(scene: Scene) -> None:
    pool = scene.pool()
    scene.publish(*[{"do": "sleep", "sleep_s": 0.005}] * 300)

    for _ in range(5):
        _replaced(pool, signal.SIGKILL)
    os.kill(pool.worker_pids()[0], signal.SIGKILL)

    scene.settle(extra_runs=1)
    scene.retire(pool)


def test_a_supervisor_killed_while_it_starts_a_worker_leaves_no_registration(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    busy = scene.ledger.wait_started(scene.publish_one(gate.body())).pid
    (other,) = set(pool.worker_pids()) - {busy}
    workers = Keys(QUEUE).workers
    before = set(command(scene.redis, "HKEYS", workers))
    template = pool.template_pid()

    os.kill(template, signal.SIGSTOP)
    os.kill(other, signal.SIGKILL)
    eventually(lambda: set(command(scene.redis, "HKEYS", workers)) - before, PATIENCE_S, pool.log)
    pool.signal(signal.SIGKILL)
    log_says(pool, "the supervisor is gone")
    with contextlib.suppress(ProcessLookupError):  # the kernel continues it, too, if its group is an orphan now
        os.kill(template, signal.SIGCONT)
    gate.open()

    scene.gone(pool, -signal.SIGKILL)
    scene.settle()


def test_a_janitor_killed_during_the_drain_does_not_keep_the_pool(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    scene.ledger.wait_started(message)

    pool.signal(signal.SIGTERM)
    log_says(pool, "draining")
    _replaced(pool, signal.SIGKILL)
    gate.open()

    scene.gone(pool)
    scene.settle()


def test_a_stopped_janitor_is_replaced_and_no_running_message_is_requeued(scene: Scene) -> None:
    pool = scene.pool("--lease=1", handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    worker = scene.ledger.wait_started(message).pid
    ids = set(scene.registered())

    _replaced(pool, signal.SIGSTOP)
    log_says(pool, "the janitor is stuck")

    assert scene.held() == [message]
    assert set(scene.registered()) == ids
    killed_s = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    scene.runs_again(killed_s, message)
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
    gate.open()
    scene.settle(extra_runs=1)
    scene.retire(pool)


def test_a_janitor_stopped_for_less_than_the_lease_causes_no_requeue(scene: Scene) -> None:
    pool = scene.pool("--lease=6", handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    scene.ledger.wait_started(message)
    other = scene.pool("--lease=6", handler=HANDLER, ready=False)
    eventually(lambda: len(scene.registered()) == 3, PATIENCE_S)

    janitor = pool.janitor_pid()
    os.kill(janitor, signal.SIGSTOP)
    time.sleep(1.5)  # the stall has to last
    os.kill(janitor, signal.SIGCONT)
    gate.open()

    scene.settle(extra_runs=0)
    assert pool.janitor_pid() == janitor
    scene.retire(pool, other)


def _replaced(pool: Pool, number: int) -> int:
    """Signal the janitor; returns the pid of the next one once it is alive."""
    old = pool.janitor_pid()
    os.kill(old, number)
    eventually(lambda: not psutil.pid_exists(old), PATIENCE_S, "the old janitor to be reaped")
    return eventually(pool.janitor_pid, PATIENCE_S)


def test_janitors_that_die_repeatedly_are_replaced_before_the_lease_ends(scene: Scene) -> None:
    pool = scene.pool("--lease=4", concurrency=1, handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    scene.ledger.wait_started(message)
    (supervisor,) = set(scene.registered().values())
    reaper = scene.pool("--lease=4", concurrency=1, handler=HANDLER)

    for _ in range(9):  # an uncapped back-off would be 12 s by then
        before = _beats(scene, supervisor)
        _replaced(pool, signal.SIGKILL)
        eventually(lambda: _beats(scene, supervisor) > before, PATIENCE_S, "a beat")  # noqa: B023

    assert "reaped" not in reaper.log()
    gate.open()
    scene.settle(extra_runs=0)
    scene.retire(pool, reaper)


def _beats(scene: Scene, supervisor: str) -> int:
    """The heartbeat counter of the supervisor; -1 if it is not registered."""
    return int(command(scene.redis, "HGET", Keys(QUEUE).supervisors, supervisor) or -1)
