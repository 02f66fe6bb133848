"""The supervisor's reaction to TTIN, TTOU, TSTP, CONT, USR1 and WINCH, in a working pool."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.pool_status import socket_of, status_of, wait_for_status

CHANGED = "number of workers changed"


def wait_for_workers(pool: Pool, runtime: Path, count: int) -> Any:
    """Wait until `count` workers work and no others are left."""
    return wait_for_status(
        socket_of(pool, runtime),
        lambda status: status["working"] == status["target_workers"] == len(status["slots"]) == count,
        f"{count} workers",
    )


def stacks(pool: Pool) -> dict[str, list[str]]:
    """Pid -> the header and the lines of its stack in the last dump."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in pool.log().splitlines():
        if "worker stack " in line:
            lines = found[line.split(" pid=")[1].split()[0]] = []
        elif not line.startswith("    | "):
            lines = []
        lines.append(line)
    return found


def dump_in(pool: Pool, workers: int, function: str) -> None:
    """Repeat that until one worker is in this function: its handler may have just started."""

    def is_in() -> bool:
        dump(pool, workers)
        return any(line.endswith(f" in {function}") for lines in stacks(pool).values() for line in lines)

    eventually(is_in, PATIENCE_S, function)


def dump(pool: Pool, workers: int) -> None:
    """Request another stack dump and wait for it."""
    before = pool.log().count("worker stack ")
    pool.signal(signal.SIGUSR1)
    log_says(pool, "worker stack ", times=before + workers)


def test_ttin_adds_a_worker_and_ttou_takes_one_away_down_to_one(scene: Scene, runtime: Path) -> None:
    pool = scene.pool()
    for count in (3, 4):
        pool.signal(signal.SIGTTIN)
        wait_for_workers(pool, runtime, count)
    for count in (3, 2, 1):
        pool.signal(signal.SIGTTOU)
        wait_for_workers(pool, runtime, count)

    pool.signal(signal.SIGTTOU)
    log_says(pool, CHANGED, times=6)

    (worker,) = wait_for_workers(pool, runtime, 1)["slots"]
    assert pool.worker_pids() == [worker["pid"]]
    scene.publish(*[{"do": "ok"}] * 10)
    scene.settle()
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_the_pool_grows_no_further_than_its_capacity(scene: Scene, runtime: Path) -> None:
    pool = scene.pool(concurrency=1)
    capacity = int(status_of(socket_of(pool, runtime))["capacity"])

    for number in range(1, capacity + 3):
        pool.signal(signal.SIGTTIN)
        log_says(pool, CHANGED, times=number)

    wait_for_workers(pool, runtime, capacity)
    scene.retire(pool)


def test_ttou_takes_an_idle_worker_and_lets_a_running_message_finish(scene: Scene, runtime: Path) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=2)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    run = scene.ledger.wait_started(message)

    pool.signal(signal.SIGTTOU)

    wait_for_workers(pool, runtime, 1)
    assert pool.worker_pids() == [run.pid]
    gate.open()
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_tstp_pauses_claiming_and_cont_resumes_it(scene: Scene, runtime: Path, tmp_path: Path) -> None:
    pool = scene.pool(concurrency=2)
    gate = tmp_path / "go-on"
    running = scene.publish_one({"do": "wait_for_file", "path": str(gate)})
    scene.ledger.wait_started(running)

    pool.signal(signal.SIGTSTP)
    wait_for_status(socket_of(pool, runtime), lambda status: status["state"] == "paused")
    dump(pool, workers=2)  # by now, claims that had started have ended
    waiting = scene.publish(*[{"do": "ok"}] * 5)
    gate.touch()
    scene.ledger.wait_handled(running, timeout_s=PATIENCE_S)
    eventually(lambda: scene.mq.stats(QUEUE).acked == 1, PATIENCE_S, "its ack although nothing is claimed")
    dump(pool, workers=2)  # enough time for a claim, if there were one

    assert (scene.waiting(), scene.held()) == (waiting, [])
    pool.signal(signal.SIGCONT)
    scene.settle(extra_runs=0)
    assert status_of(socket_of(pool, runtime))["state"] == "working"
    log_says(pool, "claiming goes on")
    scene.retire(pool)


def test_a_paused_pool_drains_like_any_other(scene: Scene) -> None:
    pool = scene.pool(concurrency=2)
    pool.signal(signal.SIGTSTP)
    log_says(pool, "claiming is paused")
    dump(pool, workers=2)  # by now, claims that had started have ended
    message = scene.publish_one({"do": "ok"})

    scene.retire(pool)

    assert scene.waiting() == [message]
    invariants.check_nobody_blamed(scene.redis, QUEUE)


def test_usr1_writes_every_workers_stack_with_the_message_that_it_runs(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=2)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    run = scene.ledger.wait_started(message)

    dump_in(pool, 2, "wait_for_file")

    found = stacks(pool)
    assert {int(pid) for pid in found} == set(pool.worker_pids())
    head, *frames = found.pop(str(run.pid))
    assert f"message={message} queue={QUEUE}" in head
    assert "state=running" in head
    text = "\n".join(frames)
    assert 'tests/support/actions.py", line' in text
    assert " in wait_for_file" in text
    assert "bizzmq/consumer/handlers/handler.py" not in text
    (idle,) = found.values()
    assert "state=idle" in idle[0]
    assert "message=" not in idle[0]
    gate.open()
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_usr1_shows_a_handler_that_never_releases_the_gil(scene: Scene) -> None:
    pool = scene.pool("--drain-timeout=1", concurrency=1)
    message = scene.publish_one({"do": "hold_gil"})
    scene.ledger.wait_started(message)

    dump_in(pool, 1, "hold_gil")

    ((head, *frames),) = stacks(pool).values()
    assert f"message={message}" in head
    assert "in hold_gil" in "\n".join(frames)
    scene.retire(pool)


def test_winch_changes_nothing(scene: Scene) -> None:
    pool = scene.pool(concurrency=2)
    workers, before = pool.worker_pids(), pool.log()

    for _ in range(20):
        pool.signal(signal.SIGWINCH)
    scene.publish(*[{"do": "ok"}] * 10)
    scene.settle(extra_runs=0)

    assert (pool.worker_pids(), pool.log()) == (workers, before)
    scene.retire(pool)
