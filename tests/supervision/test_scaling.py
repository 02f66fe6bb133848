"""A pool with `--min-concurrency` grows under a backlog and shrinks when idle, on real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import Scene, log_says
from tests.supervision.pool_status import socket_of, status_of
from tests.supervision.worker_command import MODULE, PRESSURE

OPTIONS = ("--scale-latency=0.1", "--scale-idle=0.5", "--log-level=debug")
LEAST, MOST = 1, 3
PATIENCE_S = 60.0
REFUSED = "messages wait, but the pool does not grow"


@pytest.fixture
def pressure(tmp_path: Path) -> Path:
    """A directory in place of /proc/pressure."""
    folder = tmp_path / "pressure"
    folder.mkdir()
    return folder


def start(scene: Scene, pressure: Path, *args: str) -> Pool:
    """Start a pool that can scale; one worker is ready."""
    pool = scene.pool(
        f"--min-concurrency={LEAST}", *OPTIONS, *args, module=MODULE, concurrency=MOST, ready=False,
        env={PRESSURE: str(pressure)},
    )  # fmt: skip
    pool.wait_ready(workers=LEAST)
    return pool


def test_it_grows_under_a_backlog_and_shrinks_when_idle(
    scene: Scene, pressure: Path, runtime: Path, tmp_path: Path
) -> None:
    pool = start(scene, pressure)
    seen: list[Any] = [status_of(socket_of(pool, runtime))]

    def working(count: int) -> bool:
        seen.append(status_of(socket_of(pool, runtime)))
        return bool(seen[-1]["working"] == len(seen[-1]["slots"]) == count)

    gate = tmp_path / "go-on"
    scene.publish(*[{"do": "wait_for_file", "path": str(gate)}] * 10)
    eventually(lambda: working(MOST), PATIENCE_S, pool.log)
    grown = pool.log().count("worker ready")
    gate.touch()
    eventually(lambda: working(LEAST), PATIENCE_S, pool.log)

    assert grown == MOST
    assert [status["target_workers"] for status in seen[:1]] == [LEAST]
    assert {status["target_workers"] for status in seen} == set(range(LEAST, MOST + 1))
    assert max(len(status["slots"]) for status in seen) == MOST
    assert pool.log().count("workers idle, the pool shrinks") == MOST - LEAST
    scene.settle(extra_runs=0)
    again = scene.publish_one({"do": "ok"})
    scene.ledger.wait_handled(again)
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_it_grows_only_when_the_pressure_is_over(scene: Scene, pressure: Path, runtime: Path, tmp_path: Path) -> None:
    (pressure / "cpu").write_text("some avg10=99.00 avg60=0.00 avg300=0.00 total=1\n")
    pool = start(scene, pressure)
    gate = tmp_path / "go-on"
    scene.publish(*[{"do": "wait_for_file", "path": str(gate)}] * 10)

    log_says(pool, REFUSED, times=3)

    assert 'why="cpu pressure is 99%"' in pool.log()
    assert len(pool.started_worker_pids()) == LEAST
    (pressure / "cpu").write_text("some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n")
    eventually(lambda: len(pool.worker_pids()) == MOST, PATIENCE_S, pool.log)
    gate.touch()
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_without_a_minimum_it_does_not_scale(scene: Scene, pressure: Path, tmp_path: Path) -> None:
    pool = scene.pool(*OPTIONS, module=MODULE, concurrency=2, env={PRESSURE: str(pressure)})
    workers = pool.worker_pids()
    gate = tmp_path / "go-on"
    scene.publish(*[{"do": "wait_for_file", "path": str(gate)}] * 10)
    eventually(lambda: len(scene.ledger.running()) == 2)

    gate.touch()
    scene.settle(extra_runs=0)

    assert pool.started_worker_pids() == workers
    scene.retire(pool)
