"""P4, P5, P6 and P24: supervisors and whole hosts that stop, die, or have the same name."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import attempts_of, snapshot
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually, eventually_holds
from tests.faults.gated_handler import HANDLER
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

SHORT_LEASE = "--lease=1"
BOUND_S = 1.0 + 1.0 / 3
"""The lease and one scan interval."""


@pytest.mark.usually(1)
@pytest.mark.parametrize("stale_outcome", ["ok", "raise"])
def test_a_stopped_host_that_resumes_changes_nothing_and_starts_over(scene: Scene, stale_outcome: str) -> None:
    stale = scene.pool(SHORT_LEASE, handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body(stale_outcome, "raise", "ok"))
    scene.ledger.wait_started(message)
    stale_ids = set(scene.registered())

    stale.signal_all(signal.SIGSTOP)
    owner = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=1, ready=False)
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    stale.signal_all(signal.SIGCONT)
    gate.open(1)  # the stale worker finishes now: its ack or retry must be refused
    log_says(stale, "lease lost", times=2)  # the idle one's claim is refused, too
    eventually(lambda: len(scene.registered()) == 3, PATIENCE_S, "two new workers in addition to the owner")

    assert not stale_ids & set(scene.registered()), "a stale worker continued under its old id"
    assert scene.held() == [message], "the owner lost its message to a stale worker"
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    gate.open(2)  # the owner's retry still counts
    scene.ledger.wait_started(message, runs=3)
    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=1)
    gate.open(3)
    scene.settle(extra_runs=2)
    scene.retire(owner)
    fresh = scene.publish_one(scene.gate().body())  # the stale pool is complete again
    assert scene.ledger.wait_started(fresh).pid in stale.worker_pids()


def test_workers_of_a_killed_supervisor_finish_and_leave(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    busy = scene.ledger.wait_started(message).pid

    pool.signal(signal.SIGKILL)
    eventually(lambda: pool.worker_pids() == [busy], 1.0 + PATIENCE_S / 10, "the idle worker to exit")
    unclaimed = scene.publish_one({"gate": "", "actions": ["ok"]})
    gate.open()

    pool.assert_no_process_left(timeout_s=PATIENCE_S)
    assert scene.ledger.handled() == {message}
    assert scene.waiting() == [unclaimed], "an orphan claimed"
    assert scene.mq.stats(QUEUE).acked == 1, "its worker could not ack"
    assert not scene.ledger.duplicates()
    assert not snapshot(scene.redis, QUEUE)[0].supervisors, "the janitor exited without unregistering"


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", ["ignore_sigterm_sleep", "hold_gil"])
def test_no_orphan_outlives_the_drain_of_a_killed_supervisor(scene: Scene, action: str) -> None:
    pool = scene.pool(SHORT_LEASE, "--drain-timeout=1")
    message = scene.publish_one({"do": action, "times": 1})
    scene.ledger.wait_started(message)

    pool.signal(signal.SIGKILL)

    pool.assert_no_process_left(timeout_s=PATIENCE_S)
    assert scene.waiting() == [message]
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    second = scene.pool()
    scene.settle(extra_runs=1)
    scene.retire(second)


def test_processes_of_a_handler_end_with_its_orphaned_worker(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body("leave_grandchild"))
    scene.ledger.wait_started(message)

    pool.signal(signal.SIGKILL)
    gate.open()

    pool.assert_no_process_left(timeout_s=PATIENCE_S)
    scene.settle()


def test_without_supervisor_and_janitor_the_workers_exit_and_the_lease_returns_the_rest(
    scene: Scene,
) -> None:
    pool = scene.pool(SHORT_LEASE, "--drain-timeout=1", handler=HANDLER)
    message = scene.publish_one(scene.gate().body())
    scene.ledger.wait_started(message)
    other = scene.pool(SHORT_LEASE, "--drain-timeout=3", handler=HANDLER, ready=False)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)

    janitor = pool.janitor_pid()
    os.kill(janitor, signal.SIGSTOP)  # the supervisor must not see it die first
    lost_s = time.monotonic()
    pool.signal(signal.SIGKILL)
    os.kill(janitor, signal.SIGKILL)

    pool.assert_no_process_left(timeout_s=PATIENCE_S)
    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    assert run.pid in other.worker_pids()
    scene.runs_again(lost_s, message)
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    scene.check_stored()


def test_a_lost_hosts_messages_run_elsewhere_within_lease_and_scan(scene: Scene) -> None:
    lost = scene.pool(SHORT_LEASE, handler=HANDLER)
    gates = [scene.gate() for _ in range(2)]
    in_flight = scene.publish(*[gate.body() for gate in gates])
    for message in in_flight:
        scene.ledger.wait_started(message)
    other = scene.pool(SHORT_LEASE, handler=HANDLER, ready=False)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)

    lost_s = time.monotonic()
    lost.kill_group()

    runs = [scene.ledger.wait_started(message, runs=2, timeout_s=BOUND_S + PATIENCE_S) for message in in_flight]
    assert {run.pid for run in runs} <= set(other.worker_pids())
    for message in in_flight:
        scene.runs_again(lost_s, message)
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    eventually_holds(scene.check_stored, PATIENCE_S)
    assert len(scene.registered()) == 2
    for gate in gates:
        gate.open()
    scene.settle(extra_runs=2)
    scene.retire(other)


@pytest.mark.matrix
def test_ten_hosts_lost_one_after_the_other_cost_only_time(scene: Scene) -> None:
    """The matrix judges how much time."""
    survivor = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=1)
    for _ in range(10):
        lost = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=4, ready=False)
        eventually(lambda: len(scene.registered()) == 5, PATIENCE_S, lost.log)
        gates = [scene.gate() for _ in range(5)]
        in_flight = [scene.publish_one(gate.body()) for gate in gates]
        runs = [scene.ledger.wait_started(message) for message in in_flight]
        for gate in gates:
            gate.open(2)

        lost_s = time.monotonic()
        lost.kill_group()
        for gate in gates:
            gate.open(1)  # the message that the survivor runs is finished

        for run in runs:
            if run.pid not in survivor.worker_pids():
                scene.runs_again(lost_s, run.id)
        scene.settle(extra_runs=sum(scene.ledger.duplicates().values()))
        assert len(scene.registered()) == 1
    assert sum(scene.ledger.duplicates().values()) == 40
    scene.retire(survivor)


def test_a_lost_host_under_load_loses_nothing(scene: Scene) -> None:
    lost, other = scene.pool(SHORT_LEASE), scene.pool(SHORT_LEASE, ready=False)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)
    scene.publish(*[{"do": "sleep", "sleep_s": 0.004}] * 300)
    scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > 50)

    lost_s = time.monotonic()
    lost.kill_group()

    ran = {run.id for run in scene.ledger.running()}
    stranded = _held_by(scene, lost)
    held = len(scene.held())
    scene.settle(extra_runs=2 + held)
    for run in scene.ledger.runs():
        if run.id in stranded and run.pid in other.worker_pids():
            scene.figures.recovered(run.start.time_s - lost_s)
    # A lost host may have finished messages without an ack: those run again, and only those.
    assert len(ran) <= 4
    assert {event.fields["retry_count"] for event in scene.ledger.starts()} == {0}
    scene.retire(other)


def _held_by(scene: Scene, pool: Pool) -> set[str]:
    """The ids that the workers of this pool hold."""
    lists = snapshot(scene.redis, QUEUE)[0].processing.items()
    return {message for worker, ids in lists if f":{pool.supervisor_pid}:" in worker for message in ids}


def test_two_pools_that_look_alike_share_the_work_without_a_duplicate(scene: Scene) -> None:
    pools = [scene.pool(ready=False), scene.pool(ready=False)]
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)

    def both_work(ledger: Ledger) -> bool:
        pids = {event.pid for event in ledger.starts()}
        return all(pids & set(pool.worker_pids()) for pool in pools)

    with load(scene, {"do": "sleep", "sleep_s": 0.002}):
        scene.ledger.wait_for(both_work, PATIENCE_S, "both pools to work")

    assert len(set(scene.registered().values())) == 2, "two supervisors with one id"
    scene.settle(extra_runs=0)
    scene.retire(pools[0])
    message = scene.publish_one({"do": "ok"})  # the exit of one does not affect the other
    scene.ledger.wait_handled(message)
    assert attempts_of(scene.redis, QUEUE, message).requeues == 0
    scene.settle(extra_runs=0)
    scene.retire(pools[1])
