"""P1 and P2: a worker is killed with SIGKILL, while it handles a message and at every step of the protocol."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from bizzmq.consumer import failpoints
from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import QUEUE, SOON_S, Scene
from tests.support.figures import Figures
from tests.support.program import ROOT, programs


def test_a_killed_workers_message_runs_again_within_a_second_and_blames_one_crash(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)
    first_ids = set(scene.registered())
    delays_s = []

    for _ in range(3):
        gate = scene.gate()
        message = scene.publish_one(gate.body())
        victim = scene.ledger.wait_started(message).pid
        killed_s = _kill(victim)
        run = scene.ledger.wait_started(message, runs=2)
        delays_s.append(run.start.time_s - killed_s)
        scene.figures.recovered(delays_s[-1])
        assert (run.delivery, run.pid == victim) == (2, False)
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=1, requeues=0)
        gate.open()
        eventually(lambda: len(pool.worker_pids()) == 2 and len(scene.registered()) == 2)

    assert min(delays_s) < SOON_S, delays_s
    assert not set(scene.registered()) >= first_ids, "a slot was respawned under its old id"
    scene.settle(extra_runs=3)
    scene.retire(pool)


@pytest.mark.matrix
def test_two_hundred_killed_workers_messages_run_again_at_once(url: str, figures: Figures, tmp_path: Path) -> None:
    """The matrix judges how soon; the measurement itself checks that each runs again once and all are acked."""
    results = tmp_path / "results.json"
    with programs(ROOT, tmp_path) as start:
        start("-m", "bench.recovery", "--kills=200", f"--server={url}", f"--json={results}").succeeds()

    measured = json.loads(results.read_text(encoding="utf-8"))
    assert len(measured["all_ms"]) == 200
    for took_ms in measured["all_ms"]:
        figures.recovered(took_ms / 1000)
    balance = measured["balance"]
    figures.lost(balance["lost"])
    figures.left(balance["left"])
    figures.repeated(balance["duplicates"], finished=balance["duplicates"] - balance["kills"])


def test_kills_under_load_lose_nothing(scene: Scene, rng: random.Random) -> None:
    pool = scene.pool()
    scene.publish(*[{"do": "sleep", "sleep_s": 0.005}] * 400)

    for kills in range(1, 7):
        handled = len(scene.ledger.ends())
        victims = eventually(pool.worker_pids)
        _kill(rng.choice(victims))
        eventually(lambda: len(pool.started_worker_pids()) >= 2 + kills, 20.0, pool.log)  # noqa: B023
        eventually(lambda: len(scene.ledger.ends()) > handled + 5 or not scene.held(), 20.0)  # noqa: B023
        scene.check_stored()

    scene.settle(extra_runs=6)
    assert scene.mq.stats(QUEUE).acked == 400
    scene.retire(pool)


@pytest.mark.usually(5, every=2)
@pytest.mark.parametrize("messages", [200, 1])
@pytest.mark.parametrize("step", failpoints.NAMES)
def test_a_kill_at_this_step_runs_no_message_twice_and_blames_none(
    scene: Scene, tmp_path: Path, step: str, messages: int
) -> None:
    fuse = tmp_path / "of-its-own" / "fuse"
    fuse.parent.mkdir()
    fuse.touch()
    pool = scene.pool(env={failpoints.VARIABLE: f"{step}:{fuse}"})

    scene.publish(*[{"do": "ok"}] * messages)

    scene.settle(extra_runs=0)
    # After an ack the queue is empty a moment before the worker has reached the step.
    eventually(lambda: not fuse.exists(), 20.0, "the step is reached")
    eventually(lambda: len(pool.started_worker_pids()) == 3, what="the slot to be respawned")
    assert {event.fields["delivery"] for event in scene.ledger.starts()} == {1}, "an innocent message was blamed"
    assert scene.mq.stats(QUEUE).acked == messages
    if messages == 1 and step in ("after-claim", "before-handler"):  # it has yet to run, and nothing else does
        scene.runs_again(_died_s(fuse))
    scene.retire(pool)


def _died_s(fuse: Path) -> float:
    """When the worker died, on the ledger's clock: removing the fuse sets the time of the directory."""
    return fuse.parent.stat().st_mtime - time.time() + time.monotonic()


def _kill(pid: int) -> float:
    """Kill a process; returns the time on the ledger's clock."""
    killed_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return killed_s
