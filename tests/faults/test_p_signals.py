"""P28: handlers that replace or block the worker's signals. A deployment still blames no message."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.faults.signal_actions import HANDLER, READY

NOT_HEARD = ["default", "ignore", "swallow", "block", "take wakeup", "asyncio"]
RAISING = ["raise exit", "raise interrupt", "raise error", "raise cancelled", "leave"]
OURS = (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGINT)


def signals_of(pid: int, line: str) -> set[int]:
    """The signals in a line of /proc/PID/status, such as SigCgt."""
    text = Path(f"/proc/{pid}/status").read_text()
    mask = int(text.split(f"{line}:")[1].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def is_as_it_was(pid: int) -> bool:
    return (
        signals_of(pid, "SigCgt") >= set(OURS)
        and signals_of(pid, "SigIgn") >= {signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP}
        and not signals_of(pid, "SigBlk")
    )


def start_message(scene: Scene, gate: Path, action: str, **fields: int) -> str:
    """Publish a message; its handler has done the action and waits for the gate."""
    message = scene.publish_one({"do": action, "path": str(gate), **fields})
    eventually(lambda: Path(str(gate) + READY).exists(), PATIENCE_S, "the action")
    return message


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.mark.usually(3)
@pytest.mark.parametrize("action", ["fork", "take alarm", "raise exit", *NOT_HEARD, "take usr1", "unregister usr1"])
def test_signal_settings_of_a_message_are_restored_and_an_idle_worker_leaves_at_once(scene: Scene, action: str) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    (worker,) = pool.worker_pids()
    scene.publish_one({"do": action})
    scene.settle(extra_runs=0)

    eventually(lambda: is_as_it_was(worker), PATIENCE_S, lambda: Path(f"/proc/{worker}/status").read_text())
    pool.signal(signal.SIGUSR1)
    log_says(pool, "worker stack")
    assert pool.worker_pids() == [worker]
    asked_s = time.monotonic()
    scene.retire(pool)

    assert time.monotonic() - asked_s < 15.0, "an idle worker delayed the drain to its deadline of 30 s"
    assert "worker died" not in pool.log()


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", NOT_HEARD)
def test_three_reloads_during_a_message_that_handles_sigterm_itself_blame_no_message(
    scene: Scene, gate: Path, action: str
) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    message = start_message(scene, gate, action, times=3)
    behind = scene.publish(*[{"do": "nothing"}] * 3)

    for number in range(1, 4):
        pool.signal(signal.SIGHUP)
        log_says(pool, f"reloaded generation={number}")
    gate.touch()

    scene.ledger.wait_handled(message, *behind, timeout_s=PATIENCE_S)
    scene.settle(extra_runs=3)
    totals = scene.totals()
    assert not totals.get("retried")
    assert not totals.get("dead_lettered")
    scene.retire(pool)
    assert "ERROR" not in pool.log()


@pytest.mark.usually(2)
@pytest.mark.parametrize("action", RAISING)
def test_a_message_that_fails_because_of_the_deployments_sigterm_is_released_without_blame(
    scene: Scene, gate: Path, action: str
) -> None:
    pool = scene.pool("--drain-timeout=20", handler=HANDLER, concurrency=1)
    message = start_message(scene, gate, action)

    pool.signal(signal.SIGTERM)
    scene.gone(pool)

    assert scene.waiting() == [message]
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", ["swallow", "block"])
def test_a_worker_that_missed_sigterm_exits_after_its_message(scene: Scene, gate: Path, action: str) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    message = start_message(scene, gate, action)
    waiting = scene.publish(*[{"do": "nothing"}] * 5)

    pool.signal(signal.SIGTERM)
    log_says(pool, "draining")
    gate.touch()
    scene.gone(pool)

    assert scene.ledger.handled() == {message}
    assert scene.waiting() == waiting


def test_a_failure_during_a_drain_counts_as_a_failure(scene: Scene) -> None:
    pool = scene.pool(handler="tests.faults.gated_handler:handler", concurrency=1)
    door = scene.gate()
    message = scene.publish_one(door.body("raise"), retries=1)
    scene.ledger.wait_started(message)

    pool.signal(signal.SIGTERM)
    log_says(pool, "draining")
    door.open(1)
    scene.gone(pool)

    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)


def test_a_time_limit_works_after_a_message_that_took_its_signal(scene: Scene, gate: Path) -> None:
    pool = scene.pool("--timeout-grace=20", handler=HANDLER, concurrency=1)
    scene.publish(*[{"do": "take alarm"}] * 3)
    late = scene.publish_one({"do": "nothing", "path": str(gate)}, timeout_s=0.5, retries=0)

    log_says(pool, "MessageTimeout")

    scene.settle(dead_lettered=1, extra_runs=0)
    assert "worker died" not in pool.log(), "it was killed"
    assert late not in scene.ledger.handled()
    scene.retire(pool, tracebacks=1)


def test_a_module_that_installs_its_own_handlers_when_it_is_imported_changes_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    source = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\ndef handler(message): pass\n"
    (tmp_path / "tasks.py").write_text(source)
    env = {"PYTHONPATH": str(tmp_path)}
    pool: Pool = scene.pool("--preload=off", handler="tasks:handler", env=env, concurrency=1)
    (worker,) = pool.worker_pids()

    eventually(lambda: is_as_it_was(worker), PATIENCE_S, lambda: Path(f"/proc/{worker}/status").read_text())
    scene.retire(pool)
