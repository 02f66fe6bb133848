"""SIGHUP: the workers are replaced with new code while the pool continues to work."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from bizzmq.errors import BizzMQError
from bizzmq.testing.ledger import Event
from bizzmq.testing.pool import Pool
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.supervision.pool_status import socket_of, status_of, wait_for_status
from tests.support.paths import ROOT

RUNS = """
from tests import handlers
from bizzmq.testing.ledger import record

def handler(body, context):
    record("version", context.id, version={version!r})
    return handlers.by_body(body, context)
"""
BROKEN = ["def handler(:\n", "raise RuntimeError('no configuration')\n", "import os; os._exit(1)\n"]
Start = Callable[..., Pool]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The handler's module, version 1."""
    file = tmp_path / "code" / "tasks.py"
    file.parent.mkdir()
    file.write_text(RUNS.format(version=1))
    return file


@pytest.fixture
def start(scene: Scene, module: Path) -> Start:
    """Start a pool with that handler."""

    def start(*args: str, **options: Any) -> Pool:
        env = {"PYTHONPATH": f"{module.parent}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
        return scene.pool(*args, handler="tasks:handler", env=env, **options)

    return start


@pytest.fixture
def fewest(runtime: Path) -> Iterator[Callable[[Pool], Callable[[], int]]]:
    """fewest(pool)(): the smallest number of working workers in any check since the first call."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def watch(pool: Pool) -> Callable[[], int]:
        path = socket_of(pool, runtime)
        seen = [int(status_of(path)["working"])]

        def look() -> None:
            while not over.wait(0.002):
                try:
                    seen.append(int(status_of(path)["working"]))
                except BizzMQError:
                    return

        threads.append(threading.Thread(target=look, daemon=True))
        threads[-1].start()
        return lambda: min(seen)

    yield watch
    over.set()
    for thread in threads:
        thread.join()


def versions(scene: Scene, *messages: str) -> set[int]:
    """The code versions that ran these messages, or all messages."""
    events: list[Event] = scene.ledger.events("version")
    return {event.fields["version"] for event in events if not messages or event.id in messages}


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_reload_replaces_all_workers_and_capacity_stays_at_least_n_minus_1(
    scene: Scene, start: Start, module: Path, runtime: Path, fewest: Callable[[Pool], Callable[[], int]], preload: str
) -> None:
    pool = start(f"--preload={preload}", "--log-level=debug", concurrency=3)
    old, least = set(pool.worker_pids()), fewest(pool)
    gate = module.parent / "go-on"
    long = scene.publish_one({"do": "wait_for_file", "path": str(gate)})
    scene.ledger.wait_started(long)

    with load(scene, {"do": "ok"}):
        module.write_text(RUNS.format(version=2))
        pool.signal(signal.SIGHUP)
        log_says(pool, "renewing the workers")
        scene.ledger.wait_for(lambda _: versions(scene) == {1, 2}, PATIENCE_S)
        log_says(pool, "worker left", times=1)
        gate.touch()
        log_says(pool, "reloaded generation=1")
        wait_for_status(socket_of(pool, runtime), lambda status: status["working"] == len(status["slots"]) == 3)

    assert least() >= 2
    scene.settle(extra_runs=0)
    assert versions(scene, long) == {1}, "it ran once and completed"
    after = scene.publish(*[{"do": "ok"}] * 20)
    scene.settle(extra_runs=0)
    assert versions(scene, *after) == {2}
    assert not old & set(pool.worker_pids())
    assert "worker died" not in pool.log()
    scene.retire(pool)


@pytest.mark.parametrize("source", BROKEN)
@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["on", "off"])
def test_broken_code_changes_only_the_log_and_the_status(
    scene: Scene, start: Start, module: Path, runtime: Path, preload: str, source: str
) -> None:
    pool = start(f"--preload={preload}", concurrency=2)
    workers = pool.worker_pids()

    module.write_text(source)
    pool.signal(signal.SIGHUP)
    log_says(pool, "reload failed, the old code stays")

    status = wait_for_status(socket_of(pool, runtime), lambda status: len(status["slots"]) == 2)
    assert (status["reload"], status["generation"], status["working"]) == ("none", 0, 2)
    assert status["last_reload_error"]
    assert pool.worker_pids() == workers
    scene.publish(*[{"do": "ok"}] * 10)
    scene.settle(extra_runs=0)
    assert versions(scene) == {1}
    module.write_text(RUNS.format(version=2))
    pool.signal(signal.SIGHUP)
    log_says(pool, "reloaded generation=1")
    assert status_of(socket_of(pool, runtime))["last_reload_error"] == ""
    scene.retire(pool, tracebacks=1)
