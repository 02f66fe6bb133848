"""Autoscaling between `--min-concurrency` and `--concurrency`, and never under pressure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.janitor_messages import Gauges
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.supervisor import autoscaler
from bizzmq.workers.supervisor.autoscaler import CPU_PRESSURE, MEMORY_PRESSURE, SHRINK_EVERY_S, Autoscaler, some_avg10
from bizzmq.workers.supervisor.slot import Phase, Slot

LATENCY_S, IDLE_S = 1.0, 30.0
LEAST, MOST = 2, 8


class FakeWorkerPool:
    """A worker pool for the autoscaler: workers are ready as soon as they are requested."""

    def __init__(self) -> None:
        self._board = Scoreboard(MOST)
        self.target = LEAST
        self.busy = self.booting = 0

    @property
    def counted(self) -> list[Slot]:
        slots = []
        for index in range(self.target):
            record = self._board.slot(index)
            record.idle()
            if index < self.busy:
                record.begin(b"m" * 20, 0, 0.0, 0.0, 1, 0)
            slot = Slot(index, record, phase=Phase.UP)
            slot.working = index >= self.booting
            slots.append(slot)
        return slots


class World:
    """Ticks the autoscaler once a second, at the rate of the janitor's gauges."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.worker_pool = FakeWorkerPool()
        config = WorkerConfig(
            handler="tasks:handler", concurrency=MOST, min_concurrency=LEAST, scale_latency_s=LATENCY_S,
            scale_idle_s=IDLE_S,
        )  # fmt: skip
        self.autoscaler = Autoscaler(self.worker_pool, config, lambda: self.now_s)  # type: ignore[arg-type]
        self._settled = 0

    def look(self, waiting: int, settled: int = 0, *, seconds: int = 1) -> int:
        """Tick `times` times with constant waiting and settled counts a second; returns the target."""
        for _ in range(seconds):
            self.now_s += 1.0
            self._settled += settled
            self.autoscaler.scale(Gauges(waiting, self._settled))
        return self.worker_pool.target


@pytest.fixture
def pressure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in place of /proc/pressure; memory is plentiful."""
    memory = type("Memory", (), {"available": 8 << 30, "total": 10 << 30})
    monkeypatch.setattr(autoscaler, "_PRESSURE", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return tmp_path


@pytest.fixture
def world(pressure: Path) -> World:
    return World()


def psi(some: float, full: float = 0.0) -> str:
    """The text of a pressure file."""
    some_line = f"some avg10={some:.2f} avg60=1.00 avg300=99.00 total=1697583851"
    return f"{some_line}\nfull avg10={full:.2f} avg60=0.00 avg300=0.00 total=0\n"


def test_it_grows_while_messages_wait_too_long_and_never_beyond_concurrency(world: World) -> None:
    targets = [world.look(waiting=100, settled=10) for _ in range(12)]

    assert targets == sorted(targets)
    assert LEAST < targets[2] < MOST, "step by step"
    assert targets[-1] == MOST


def test_messages_that_are_never_settled_make_it_grow_too(world: World) -> None:
    assert world.look(waiting=1, seconds=10) == MOST


@pytest.mark.parametrize(("waiting", "settled"), [(0, 0), (0, 1000), (9, 10), (5, 1000)])
def test_it_does_not_grow_while_waits_are_short(world: World, waiting: int, settled: int) -> None:
    world.worker_pool.busy = LEAST

    assert world.look(waiting, settled, seconds=20) == LEAST


def test_it_waits_for_the_effect_of_new_workers(world: World) -> None:
    world.worker_pool.booting = 1

    assert world.look(waiting=100, settled=1, seconds=20) == LEAST

    world.worker_pool.booting = 0
    assert world.look(waiting=100, settled=1) > LEAST


def test_it_shrinks_one_by_one_when_workers_idle_and_never_below_the_minimum(world: World) -> None:
    world.worker_pool.target = MOST

    assert world.look(waiting=0, seconds=int(IDLE_S) - 1) == MOST
    assert world.look(waiting=0, seconds=2) == MOST - 1
    assert world.look(waiting=0, seconds=int(SHRINK_EVERY_S)) == MOST - 2
    assert world.look(waiting=0, seconds=1000) == LEAST


@pytest.mark.parametrize(("waiting", "busy"), [(1, 0), (0, MOST)])
def test_it_does_not_shrink_while_there_is_work_for_all(world: World, waiting: int, busy: int) -> None:
    world.worker_pool.target, world.worker_pool.busy = MOST, busy

    assert world.look(waiting, settled=1000, seconds=1000) == MOST


@pytest.mark.parametrize(("resource", "limit"), [("cpu", CPU_PRESSURE), ("memory", MEMORY_PRESSURE)])
def test_it_never_grows_under_pressure(
    world: World, pressure: Path, caplog: pytest.LogCaptureFixture, resource: str, limit: float
) -> None:
    caplog.set_level("INFO")
    (pressure / resource).write_text(psi(some=limit + 0.5))

    assert world.look(waiting=1000, seconds=20) == LEAST
    assert "the pool does not grow" in caplog.text

    (pressure / resource).write_text(psi(some=limit - 0.5))
    assert world.look(waiting=1000) > LEAST


def test_it_never_grows_while_memory_is_short(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    short = type("Memory", (), {"available": 1 << 30, "total": 11 << 30})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: short)

    assert world.look(waiting=1000, seconds=20) == LEAST
    assert world.autoscaler.pressure_problem() == "only 1024 MB of memory are available"


def test_pressure_is_described_in_words(world: World, pressure: Path) -> None:
    assert world.autoscaler.pressure_problem() is None
    (pressure / "cpu").write_text(psi(some=75.25))
    assert world.autoscaler.pressure_problem() == "cpu pressure is 75.25%"
    (pressure / "memory").write_text(psi(some=12.5))
    assert world.autoscaler.pressure_problem() == "memory pressure is 12.5%"


@pytest.mark.parametrize(
    ("write", "share"),
    [
        (lambda file: file.write_text(psi(some=12.34, full=56.78)), 12.34),
        (lambda file: file.write_text(psi(some=0.0)), 0.0),
        (lambda file: file.write_text(""), None),
        (lambda file: file.write_text("nothing of the kind\n"), None),
        (lambda file: file.write_bytes(b"\xff\xfe"), None),
        (lambda file: file.mkdir(), None),
        (lambda file: file.with_name("other").touch(), None),
    ],
)
def test_some_avg10_is_read_from_a_pressure_file(
    tmp_path: Path, write: Callable[[Path], Any], share: float | None
) -> None:
    write(tmp_path / "cpu")

    assert some_avg10(tmp_path / "cpu") == share
