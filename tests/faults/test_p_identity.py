"""P23: registry entries that name unrelated processes, and pids that are reused by unrelated processes."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import psutil
import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command, snapshot
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.faults.unrelated_processes import Bystander, forge, forged_names

SHORT_LEASE = "--lease=1"
DECOY = "tests.support.decoy_pool"
StartBystander = Callable[..., Bystander]


@pytest.fixture
def bystander(tmp_path: Path) -> Iterator[StartBystander]:
    """Start a Bystander: bystander(), or bystander(pid), or bystander(pid, "leads")."""
    started: list[Bystander] = []

    def start(*arguments: Any) -> Bystander:
        started.append(Bystander(tmp_path / f"bystander-{len(started)}.log", *arguments))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.mark.parametrize("registered", [True, False], ids=["with a beat", "without a supervisor"])
def test_forged_workers_cause_no_signals_and_their_messages_are_requeued(
    scene: Scene, bystander: StartBystander, registered: bool
) -> None:
    foreign = bystander()
    names = forged_names(foreign.pid)
    for (supervisor, worker), message in zip(names, scene.publish(*[{"do": "ok"}] * len(names))):
        forge(scene, supervisor, worker, message, 1 if registered else None)
    pool = scene.pool(SHORT_LEASE, ready=False)

    scene.settle(extra_runs=0)

    foreign.check_untouched()
    assert {event.pid for event in scene.ledger.starts()} <= set(pool.started_worker_pids())
    pool.wait_ready()
    eventually(
        lambda: len(snapshot(scene.redis, QUEUE)[0].supervisors) == 1, PATIENCE_S, "the forged workers to be reaped"
    )
    assert len(scene.registered()) == 2
    invariants.check_log(pool.log())
    assert not re.search(r"\x1b|^break", pool.log(), re.MULTILINE), "a forged log line"
    scene.retire(pool)
    foreign.check_untouched()


def test_a_forged_worker_of_this_pool_is_unregistered_without_looking_for_a_process(
    scene: Scene, bystander: StartBystander
) -> None:
    foreign = bystander()
    pool = scene.pool(SHORT_LEASE, handler=HANDLER)
    (supervisor,) = set(scene.registered().values())
    own = set(scene.registered())
    gates = [scene.gate() for _ in range(2)]
    busy = scene.publish(*[gate.body() for gate in gates])
    for message in busy:
        scene.ledger.wait_started(message)
    gates.append(scene.gate())
    waiting = scene.publish_one(gates[-1].body())
    forged = f"{supervisor}/{foreign.pid}.aaaa"

    forge(scene, supervisor, forged, waiting, None)
    eventually(lambda: waiting in scene.waiting(), PATIENCE_S, pool.log)

    foreign.check_untouched()
    assert set(scene.registered()) == own
    assert sorted(scene.held()) == sorted(busy), "a living worker lost its running message"
    for gate in gates:
        gate.open()
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_a_living_worker_of_a_forged_supervisor_is_fenced_and_never_killed(
    scene: Scene, bystander: StartBystander
) -> None:
    foreign = bystander()
    pool = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=1)
    (worker,) = scene.registered()
    (pid,) = pool.worker_pids()
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    scene.ledger.wait_started(message)
    other = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=1, ready=False)

    supervisor, _ = forged_names(foreign.pid)[0]
    command(scene.redis, "HSET", Keys(QUEUE).workers, worker, supervisor)
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    assert psutil.pid_exists(pid)
    assert pid in pool.worker_pids(), "it was killed, but only its supervisor may do that"
    gate.open()

    log_says(pool, "lease lost")
    scene.settle(extra_runs=1)
    foreign.check_untouched()
    eventually(lambda: len(scene.registered()) == 2 and worker not in scene.registered(), PATIENCE_S, pool.log)
    scene.retire(pool, other)


def test_another_kind_of_pool_on_the_same_queue_is_reaped_and_its_processes_live(scene: Scene) -> None:
    decoy = scene.pool(module=DECOY)
    pids = set(decoy.worker_pids())
    pool = scene.pool(SHORT_LEASE, ready=False)
    scene.publish(*[{"do": "ok"}] * 20)

    eventually(lambda: len(scene.registered()) == 2 and "decoy" not in scene.registered().values(), PATIENCE_S)
    scene.settle(extra_runs=0)

    assert set(decoy.worker_pids()) == pids
    scene.retire(pool)
    assert set(decoy.worker_pids()) == pids
    scene.retire(decoy)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process choose its pid")
@pytest.mark.parametrize("role", ["leads", "follows"])
@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_process_that_reuses_an_orphaned_workers_pid_is_not_killed_by_the_janitor(
    scene: Scene, bystander: StartBystander, role: str, preload: str
) -> None:
    pool = scene.pool(SHORT_LEASE, "--drain-timeout=10", f"--preload={preload}", handler=HANDLER, concurrency=1)
    message = scene.publish_one(scene.gate().body())
    worker = scene.ledger.wait_started(message).pid
    janitor = pool.janitor_pid()

    foreign = _lose_worker_unseen(pool, janitor, worker, bystander, role)
    os.kill(janitor, signal.SIGCONT)

    pool.assert_no_process_left(PATIENCE_S)
    foreign.check_untouched()
    assert scene.waiting() == [message]
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    second = scene.pool()
    scene.settle(extra_runs=1)
    scene.retire(second)
    foreign.check_untouched()


def _lose_worker_unseen(pool: Pool, janitor: int, worker: int, bystander: StartBystander, role: str) -> Bystander:
    """Kill supervisor and worker while the janitor is stopped, and start an unrelated process with the worker's pid."""
    os.kill(janitor, signal.SIGSTOP)
    pool.signal(signal.SIGKILL)
    assert pool.wait(PATIENCE_S) == -signal.SIGKILL
    os.kill(janitor, signal.SIGSTOP)  # its process group is orphaned, so the kernel continues it
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(worker), PATIENCE_S, "process 1 to reap the orphan")
    return bystander(worker, role)
