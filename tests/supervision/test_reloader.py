"""`--reload`: an edited source file runs a moment later, unless it is broken."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.pool.command import WORKER, refused
from tests.supervision.pool_status import socket_of, status_of
from tests.supervision.test_reload import RUNS, versions
from tests.supervision.worker_command import FOLDER, MODULE
from tests.support.paths import ROOT

needs_library = pytest.mark.skipif(importlib.util.find_spec("watchfiles") is None, reason="needs the extra reload")
Start = Callable[..., Pool]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The handler's module, version 1, in the directory in which the pool is started."""
    file = tmp_path / "project" / "app" / "tasks.py"
    file.parent.mkdir(parents=True)
    (file.parent / "__init__.py").touch()
    file.write_text(RUNS.format(version=1))
    return file


@pytest.fixture
def start(scene: Scene, module: Path) -> Start:
    """Start a pool with that handler, which watches its files."""

    def start(*args: str, **options: Any) -> Pool:
        env = {FOLDER: str(module.parents[1]), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        pool = scene.pool("--reload", *args, module=MODULE, handler="app.tasks:handler", env=env, **options)
        log_says(pool, "watching the source files")
        return pool

    return start


def edit(pool: Pool, module: Path, source: str, says: str) -> None:
    """Save a file repeatedly until the pool logs the result: the watcher may not have started yet."""
    before = pool.log().count(says)

    def reacted() -> bool:
        return pool.log().count(says) > before

    for _ in range(10):
        module.write_text(source)
        try:
            eventually(reacted, PATIENCE_S / 10)
        except AssertionError:
            continue
        return
    raise AssertionError(f"{says!r} is not in\n{pool.log()}")


@needs_library
def test_an_edit_runs_a_moment_later(scene: Scene, start: Start, module: Path) -> None:
    pool = start(concurrency=2)
    scene.publish(*[{"do": "ok"}] * 5)
    scene.settle(extra_runs=0)

    edit(pool, module, RUNS.format(version=2), "reloaded generation=")

    after = scene.publish(*[{"do": "ok"}] * 20)
    scene.settle(extra_runs=0)
    assert versions(scene) == {1, 2}
    assert versions(scene, *after) == {2}
    assert "worker died" not in pool.log()
    scene.retire(pool)


@needs_library
def test_a_broken_edit_keeps_the_old_code_and_the_next_one_is_loaded(scene: Scene, start: Start, module: Path) -> None:
    pool = start(concurrency=2)
    workers = pool.worker_pids()

    edit(pool, module, "def handler(:\n", "reload failed, the old code stays")

    assert "SyntaxError" in pool.log()
    assert pool.worker_pids() == workers
    scene.publish(*[{"do": "ok"}] * 5)
    scene.settle(extra_runs=0)
    assert versions(scene) == {1}
    edit(pool, module, RUNS.format(version=3), "reloaded generation=")
    after = scene.publish(*[{"do": "ok"}] * 5)
    scene.settle(extra_runs=0)
    assert versions(scene, *after) == {3}
    scene.retire(pool, tracebacks=10)


@needs_library
def test_only_source_files_count(scene: Scene, start: Start, module: Path, runtime: Path) -> None:
    pool = start(concurrency=1)
    edit(pool, module, RUNS.format(version=2), "reloaded generation=")
    reloads = status_of(socket_of(pool, runtime))["reloads"]

    (module.parent / "data.json").write_text("{}")
    edit(pool, module, RUNS.format(version=3), "reloaded generation=")

    assert status_of(socket_of(pool, runtime))["reloads"] == reloads + 1
    scene.retire(pool)


@needs_library
def test_a_watcher_that_dies_is_logged_and_stops_nothing(scene: Scene, start: Start) -> None:
    pool = start(concurrency=1)
    (line,) = [line for line in pool.log().splitlines() if "watching the source files" in line]

    os.kill(int(line.split(" pid=")[1]), signal.SIGKILL)

    log_says(pool, "the source files are not watched any more")
    scene.publish_one({"do": "ok"})
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_without_the_library_it_is_one_clear_line_and_2(redis: Redis, url: str, tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "watchfiles.py").write_text("raise ImportError('not here')\n")

    line = refused(
        WORKER, "tests.handlers:noop", "--reload",
        PYTHONPATH=f"{tmp_path}:{ROOT}", PYTHONDONTWRITEBYTECODE="1", BIZZMQ_REDIS_URL=url, TMPDIR=str(runtime),
    )  # fmt: skip

    assert "--reload needs the package watchfiles" in line
    assert "pip install watchfiles" in line
    assert redis.keys("*") == []
