"""P27: all processes started by a handler end with its worker, also detached ones and for any end of the worker."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Iterator

import psutil
import pytest

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.process.descendants import ticks_now
from tests.faults.limit_actions import HANDLER
from tests.faults.offspring_actions import KINDS
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.faults.test_p_offspring import lives

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="marks exist on Linux only")


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """The file to which descendants write their pids. Any that are left at the end are killed."""
    file = tmp_path / "pids"
    yield file
    for pid in started(file):
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


def started(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def given_descendants(scene: Scene, pool: Pool, pids: Path, then: str = "wait_for_file", **options: float) -> list[int]:
    """Run one message whose handler starts every kind of process; returns these processes."""
    path = str(pids.with_name("gate"))
    scene.publish_one({"do": "start_all_kinds", "then": then, "pids": str(pids), "path": path, "times": 1}, **options)
    if then != "wait_for_file":
        return []
    found = eventually(lambda: started(pids) if len(started(pids)) == KINDS else [], PATIENCE_S, pool.log)
    assert all(map(lives, found))
    return found


def no_process_is_alive(found: list[int], pool: Pool) -> None:
    eventually(lambda: not any(map(lives, found)), PATIENCE_S, lambda: describe(found) + pool.log())


def describe(found: list[int]) -> str:
    return "".join(f"{process}\n" for process in psutil.process_iter() if process.pid in found)


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["on", "off"])
def test_at_a_hard_time_limit(scene: Scene, pids: Path, preload: str) -> None:
    args = ["--timeout-grace=0.2", f"--preload={preload}"]
    pool = scene.pool(*args, handler=HANDLER, concurrency=1)
    message = scene.publish_one(
        {"do": "start_all_kinds", "then": "hold_gil", "pids": str(pids), "path": "", "times": 1}, timeout_s=3.0
    )
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)

    found = started(pids)

    assert len(found) == KINDS
    assert not [pid for pid in found if lives(pid)], describe(found)
    scene.settle(extra_runs=1)
    scene.retire(pool)


def test_at_a_soft_time_limit_processes_of_the_message_end_before_it_runs_again(scene: Scene, pids: Path) -> None:
    """Its worker exits, and processes of its earlier messages end with it."""
    pool = scene.pool("--drain-timeout=5", handler=HANDLER, concurrency=1)
    earlier = pids.with_name("earlier")
    scene.publish_one({"do": "start_all_kinds", "then": "ok", "pids": str(earlier), "path": "", "times": 1})
    kept = eventually(lambda: started(earlier) if len(started(earlier)) == KINDS else [], PATIENCE_S, pool.log)
    tick = ticks_now()  # a process started in the tick in which a message starts counts as its own
    eventually(lambda: ticks_now() > tick)
    message = scene.publish_one(
        {"do": "start_all_kinds", "then": "sleep", "sleep_s": 60, "pids": str(pids), "path": "", "times": 1},
        timeout_s=2.0,
    )
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)

    found = started(pids)

    assert len(found) == KINDS
    assert not [pid for pid in found if lives(pid)], describe(found)
    assert len(pool.started_worker_pids()) == 2
    no_process_is_alive(kept, pool)
    scene.settle(extra_runs=1)
    scene.retire(pool)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_after_a_crash_before_the_message_runs_again(scene: Scene, pids: Path, number: int) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=2)
    found = given_descendants(scene, pool, pids)
    (run,) = scene.ledger.runs()

    os.kill(run.pid, number)
    scene.ledger.wait_started(run.id, runs=2, timeout_s=PATIENCE_S)

    assert not [pid for pid in found if lives(pid)], describe(found)
    scene.settle(extra_runs=1)
    scene.retire(pool)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_at_the_end_of_a_drain_and_at_once(scene: Scene, pids: Path, number: int) -> None:
    pool = scene.pool("--drain-timeout=1", handler=HANDLER, concurrency=1)
    found = given_descendants(scene, pool, pids)

    pool.signal(number)
    scene.gone(pool)

    assert not [pid for pid in found if lives(pid)], describe(found)


def test_at_the_orderly_exit_of_a_worker(scene: Scene, pids: Path) -> None:
    pool = scene.pool("--max-messages=1", handler=HANDLER, concurrency=1)
    found = given_descendants(scene, pool, pids)
    pids.with_name("gate").touch()

    eventually(lambda: len(pool.started_worker_pids()) == 2, PATIENCE_S, pool.log)

    no_process_is_alive(found, pool)
    scene.settle(extra_runs=0)
    scene.retire(pool)


@pytest.mark.parametrize("janitor", ["lives", "is killed, too"])
def test_after_the_supervisor_is_killed(scene: Scene, pids: Path, janitor: str) -> None:
    drain_s = 1 if janitor == "lives" else 30
    pool = scene.pool(f"--drain-timeout={drain_s}", "--lease=1", handler=HANDLER, concurrency=1)
    found = given_descendants(scene, pool, pids)

    if janitor != "lives":
        os.kill(pool.janitor_pid(), signal.SIGSTOP)  # so that the supervisor does not see it die first
        pool.signal(signal.SIGKILL)
        os.kill(pool.janitor_pid(), signal.SIGKILL)
        pids.with_name("gate").touch()
        no_process_is_alive(found, pool)
        return
    pool.signal(signal.SIGKILL)

    no_process_is_alive(found, pool)
    eventually(lambda: not pool.living(), PATIENCE_S, pool.log)
    assert scene.waiting() == [scene.ledger.runs()[0].id]


def test_after_supervisor_and_janitor_are_killed_and_the_exit_is_cut_off(scene: Scene, pids: Path) -> None:
    """A thread that never ends keeps the worker from its orderly exit."""
    pool = scene.pool("--drain-timeout=1", "--lease=1", handler=HANDLER, concurrency=1)
    body = {"do": "start_all_kinds", "then": "leave_thread", "pids": str(pids), "path": "", "times": 1}
    scene.ledger.wait_handled(scene.publish_one(body))
    found = eventually(lambda: started(pids) if len(started(pids)) == KINDS else [], PATIENCE_S, pool.log)
    assert any(map(lives, found))

    os.kill(pool.janitor_pid(), signal.SIGSTOP)
    pool.signal(signal.SIGKILL)
    os.kill(pool.janitor_pid(), signal.SIGKILL)

    no_process_is_alive(found, pool)
    assert "takes too long and is cut off" in pool.log()


def test_processes_of_another_worker_survive(scene: Scene, pids: Path) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=2)
    found = given_descendants(scene, pool, pids)
    (run,) = scene.ledger.runs()
    (idle,) = set(pool.worker_pids()) - {run.pid}

    os.kill(idle, signal.SIGKILL)
    eventually(lambda: len(pool.started_worker_pids()) == 3, PATIENCE_S, pool.log)

    assert all(map(lives, found))
    pids.with_name("gate").touch()
    scene.settle(extra_runs=0)
    scene.retire(pool)
    no_process_is_alive(found, pool)


@pytest.mark.parametrize("ends", ["killed", "drained"])
def test_processes_that_the_handler_has_detached_survive(scene: Scene, pids: Path, ends: str) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = pids.with_name("gate")
    body = {"do": "start_detached", "then": "wait_for_file", "pids": str(pids), "path": str(gate), "times": 1}
    message = scene.publish_one(body)
    found = eventually(lambda: started(pids) if len(started(pids)) == 2 else [], PATIENCE_S, pool.log)

    if ends == "killed":
        os.kill(scene.ledger.wait_started(message).pid, signal.SIGKILL)
        scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    gate.touch()
    scene.settle(extra_runs=int(ends == "killed"))
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    assert all(map(lives, found))
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    scene.gone(pool)
    assert scene.mq.stats(QUEUE).acked == 1
