"""P3 and P7: a worker, or its supervisor, is stopped by SIGSTOP."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psutil
import pytest

from bizzmq.testing import invariants
from bizzmq.testing.family import is_living
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

LEASE_S = 1.0
SHORT_LEASE = f"--lease={LEASE_S}"
REAPED = "a silent supervisor was reaped"


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and is_living(psutil.Process(pid))


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_worker_stopped_beyond_its_limit_is_killed_before_its_message_is_requeued(scene: Scene, preload: str) -> None:
    pool = scene.pool("--timeout=1", "--timeout-grace=0.2", f"--preload={preload}", handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    first = scene.ledger.wait_started(message)

    stopped_s = time.monotonic()
    os.kill(first.pid, signal.SIGSTOP)
    eventually(lambda: scene.held() != [message], PATIENCE_S, pool.log)

    assert not _runs(first.pid), "its message was requeued while it could continue"
    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    assert run.start.time_s - first.start.time_s >= 1.0, "its time limit was not exceeded"
    assert run.pid != first.pid
    scene.runs_again(stopped_s, message)
    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    gate.open()
    scene.settle(extra_runs=1)
    log_says(pool, "ran past its limit of 1 s")
    scene.retire(pool)


def test_a_stopped_worker_without_a_limit_keeps_its_message_and_finishes_it(scene: Scene) -> None:
    pool = scene.pool(SHORT_LEASE, handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    worker = scene.ledger.wait_started(message).pid
    other = _second_pool(scene, handler=HANDLER)

    os.kill(worker, signal.SIGSTOP)
    gate.open()
    _wait_out_two_leases(scene)
    assert scene.held() == [message]
    os.kill(worker, signal.SIGCONT)

    scene.settle(extra_runs=0)
    assert {event.pid for event in scene.ledger.ends() if event.id == message} == {worker}
    scene.retire(pool, other)


def test_a_stopped_idle_worker_delays_neither_messages_nor_a_drain(scene: Scene) -> None:
    pool = scene.pool("--drain-timeout=2")
    stopped, other = pool.worker_pids()
    os.kill(stopped, signal.SIGSTOP)

    scene.publish(*[{"do": "ok"}] * 20)
    scene.settle(extra_runs=0)

    assert {event.pid for event in scene.ledger.starts()} == {other}
    scene.retire(pool)


def test_a_drain_kills_stopped_workers_without_blame(scene: Scene) -> None:
    pool = scene.pool("--drain-timeout=2", handler=HANDLER, concurrency=1)
    message = scene.publish_one(scene.gate().body())
    os.kill(scene.ledger.wait_started(message).pid, signal.SIGSTOP)

    scene.retire(pool)

    assert scene.waiting() == [message]
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    second = scene.pool()
    scene.settle(extra_runs=1)
    scene.retire(second)


def test_a_stopped_supervisor_loses_nothing_while_its_janitor_sends_heartbeats(scene: Scene) -> None:
    pool = scene.pool(SHORT_LEASE)
    other = _second_pool(scene)
    ids = set(scene.registered())
    eventually(lambda: len(other.worker_pids()) == 2, PATIENCE_S)  # a worker is registered before its line is logged
    everybody = {*pool.worker_pids(), *other.worker_pids()}

    with load(scene, {"do": "sleep", "sleep_s": 0.002}):
        pool.signal(signal.SIGSTOP)
        _wait_out_two_leases(scene)
        scene.ledger.wait_for(lambda ledger: everybody <= {event.pid for event in ledger.starts()}, PATIENCE_S)
        pool.signal(signal.SIGCONT)

    scene.settle(extra_runs=0)
    assert set(scene.registered()) == ids
    assert REAPED not in pool.log() + other.log()
    assert {event.pid for event in scene.ledger.starts()} == everybody
    scene.retire(pool, other)


def test_a_worker_that_dies_while_its_supervisor_is_stopped_is_settled_once(scene: Scene) -> None:
    pool = scene.pool(SHORT_LEASE, handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    worker = scene.ledger.wait_started(message).pid
    other = _second_pool(scene, handler=HANDLER)

    pool.signal(signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    _wait_out_two_leases(scene)
    assert scene.held() == [message], "it was requeued while its worker was alive"
    pool.signal(signal.SIGCONT)

    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
    gate.open()
    scene.settle(extra_runs=1)
    assert scene.totals()["requeued"] == 1
    scene.retire(pool, other)


@pytest.mark.usually(1)
@pytest.mark.parametrize("all_of_it", [True, False])
def test_a_pool_stopped_for_two_leases_is_reaped_once_by_two_others(scene: Scene, all_of_it: bool) -> None:
    stopped = scene.pool(SHORT_LEASE, handler=HANDLER)
    gates = [scene.gate() for _ in range(2)]
    messages = scene.publish(*[gate.body() for gate in gates])
    for message in messages:
        scene.ledger.wait_started(message)
    others = [scene.pool(SHORT_LEASE, handler=HANDLER, ready=False) for _ in range(2)]
    eventually(lambda: len(scene.registered()) == 6, PATIENCE_S)
    former = scene.registered()

    if all_of_it:
        stopped.signal_all(signal.SIGSTOP)
    else:  # its workers continue
        os.kill(stopped.janitor_pid(), signal.SIGSTOP)
        stopped.signal(signal.SIGSTOP)
    for message in messages:
        scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    _wait_out_two_leases(scene)
    for gate in gates:
        gate.open(1)  # the stale workers finish now: their acks must be refused
    stopped.signal_all(signal.SIGCONT)
    log_says(stopped, "lease lost", times=2)
    eventually(lambda: len(scene.registered()) == 6, PATIENCE_S, "the resumed pool to start over")

    log = "".join(pool.log() for pool in [stopped, *others])
    assert log.count(REAPED) == 1, "reaped twice or never"
    assert scene.totals()["requeued"] == 2
    for message in messages:
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    assert len(set(scene.registered()) - set(former)) == 2
    for gate in gates:
        gate.open()
    scene.settle(extra_runs=2)
    scene.retire(stopped, *others)


def _second_pool(scene: Scene, **options: Any) -> Pool:
    """Start a second pool of two workers and wait for its registration."""
    pool = scene.pool(SHORT_LEASE, ready=False, **options)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)
    return pool


def _wait_out_two_leases(scene: Scene) -> None:
    """Wait for two leases, with G2 and G4 checked all the time."""
    over_s = time.monotonic() + 2 * LEASE_S
    while time.monotonic() < over_s:
        invariants.check_one_place(scene.redis, QUEUE)
        invariants.check_nothing_stranded(scene.redis, QUEUE)
        time.sleep(0.1)  # between two checks; the stall has to last
