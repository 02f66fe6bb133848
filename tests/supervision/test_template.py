"""The template imports the handler once and forks the workers, which are the supervisor's own children."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.supervision.pool_status import socket_of, wait_for_status
from tests.supervision.recording_handlers import FACTS
from tests.supervision.recording_handlers import HANDLER as RECORDING_HANDLER
from tests.support.paths import ROOT

IMPORTS = """
import os
with open({imports!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
from tests.handlers import by_body as handler
"""
LEAVES_THREAD = """
import threading
threading.Thread(target=threading.Event().wait, name="poller-of-mine", daemon=True).start()
"""
LEAVES_SOCKET = """
import redis
client = redis.Redis.from_url({url!r})
client.ping()
"""
CLOSES_ALL = "client.close()\nimport threading\nt = threading.Thread(target=int)\nt.start()\nt.join()\n"
SLOW_S = 2.0
Start = Callable[..., Pool]


@pytest.fixture
def imports(tmp_path: Path) -> Path:
    """A file with the pids of the processes that have imported the handler's module, one on each line."""
    return tmp_path / "imports"


@pytest.fixture
def start(scene: Scene, tmp_path: Path, imports: Path) -> Start:
    """start(more_source, "--option", ...): a pool with a module that counts its imports; all workers are ready."""

    def start(source: str = "", *args: str, **options: Any) -> Pool:
        code = tmp_path / "code"
        code.mkdir()
        (code / "tasks.py").write_text(IMPORTS.format(imports=str(imports)) + source.format(url=scene.url))
        env = {"PYTHONPATH": f"{code}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
        return scene.pool(*args, handler="tasks:handler", env=env, **options)

    return start


def imported_by(imports: Path) -> list[int]:
    return [int(line) for line in imports.read_text().splitlines()]


def template_pid(pool: Pool, runtime: Path) -> int:
    """Wait for a template that is ready and return its pid."""
    status = wait_for_status(socket_of(pool, runtime), lambda status: status["template"]["state"] == "ready")
    return int(status["template"]["pid"])


def works(scene: Scene, pool: Pool) -> None:
    """Check that the pool handles messages and exits in order."""
    scene.publish(*[{"do": "ok"}] * 10)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_with_a_template_there_is_one_import_for_all_workers(
    scene: Scene, start: Start, imports: Path, runtime: Path
) -> None:
    pool = start("", "--preload=on", concurrency=3)

    assert imported_by(imports) == [template_pid(pool, runtime)]
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    eventually(lambda: len(pool.started_worker_pids()) == 4, PATIENCE_S)
    pool.wait_ready()
    assert len(imported_by(imports)) == 1
    works(scene, pool)


def test_without_one_each_worker_imports(scene: Scene, start: Start, imports: Path) -> None:
    pool = start("", "--preload=off", concurrency=3)

    assert sorted(imported_by(imports)) == sorted(pool.worker_pids())
    assert "template" not in pool.log()
    works(scene, pool)


@pytest.mark.parametrize(("source", "reported"), [(LEAVES_THREAD, "poller-of-mine"), (LEAVES_SOCKET, "socket: to ")])
def test_a_module_that_cannot_be_forked_is_named_and_imported_by_each_worker(
    scene: Scene, start: Start, imports: Path, source: str, reported: str
) -> None:
    pool = start(source, concurrency=2)

    (line,) = [line for line in pool.log().splitlines() if "each worker imports by itself" in line]
    assert " WARNING " in line
    assert reported in line
    template, *workers = imported_by(imports)
    assert sorted(workers) == sorted(pool.worker_pids())
    assert not psutil.pid_exists(template)
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    eventually(lambda: len(imported_by(imports)) == 4, PATIENCE_S)
    pool.wait_ready()
    works(scene, pool)


def test_ended_threads_and_closed_objects_do_not_prevent_forking(scene: Scene, start: Start, imports: Path) -> None:
    pool = start(LEAVES_SOCKET + CLOSES_ALL, concurrency=2)

    assert len(imported_by(imports)) == 1
    assert "each worker imports by itself" not in pool.log()
    works(scene, pool)


def test_a_template_that_dies_is_replaced_and_workers_are_respawned_on(
    scene: Scene, start: Start, imports: Path, runtime: Path
) -> None:
    pool = start("", concurrency=2)
    workers = pool.worker_pids()
    for died in range(1, 4):
        first = template_pid(pool, runtime)

        os.kill(first, signal.SIGKILL)

        log_says(pool, "the template has died, starting another one", times=died)
        eventually(lambda gone=first: template_pid(pool, runtime) != gone, PATIENCE_S)  # type: ignore[misc]
        assert pool.worker_pids() == workers, "they stay"
    os.kill(workers[0], signal.SIGKILL)
    eventually(lambda: len(pool.started_worker_pids()) == 3, PATIENCE_S, pool.log)
    pool.wait_ready()
    assert len(imported_by(imports)) == 4
    works(scene, pool)


def test_all_workers_and_the_template_may_die_together(scene: Scene, start: Start, runtime: Path) -> None:
    pool = start("", concurrency=2)

    for pid in (template_pid(pool, runtime), *pool.worker_pids()):
        os.kill(pid, signal.SIGKILL)

    eventually(lambda: len(pool.started_worker_pids()) == 4, PATIENCE_S, pool.log)
    pool.wait_ready()
    works(scene, pool)


@pytest.mark.parametrize("preload", ["on", "off"])
def test_respawned_workers_are_the_supervisors_own_children(scene: Scene, preload: str) -> None:
    pool = scene.pool(f"--preload={preload}", concurrency=2)
    for round_ in range(1, 4):
        assert [psutil.Process(pid).ppid() for pid in pool.worker_pids()] == [pool.supervisor_pid] * 2
        os.kill(pool.worker_pids()[0], signal.SIGKILL)
        eventually(lambda started=2 + round_: len(pool.started_worker_pids()) == started, PATIENCE_S)  # type: ignore[misc]
        pool.wait_ready()
    assert pool.log().count("was killed by SIGKILL") == 3, "their status was seen"
    assert not pool.zombies()


@pytest.mark.parametrize(("preload", "frozen"), [("on", True), ("off", False)])
def test_objects_of_the_template_are_frozen_for_the_garbage_collector(scene: Scene, preload: str, frozen: bool) -> None:
    scene.pool(f"--preload={preload}", handler=RECORDING_HANDLER, concurrency=1)
    message = scene.publish_one({"do": "ok"})
    scene.settle()

    (noted,) = (event for event in scene.ledger.events(FACTS) if event.id == message)
    assert (noted.fields["frozen"] > 5_000) is frozen


def test_a_respawn_does_not_wait_for_a_slow_import(scene: Scene, start: Start) -> None:
    pool = start(f"import time\ntime.sleep({SLOW_S})\n", concurrency=1)
    for started in range(2, 5):
        os.kill(pool.worker_pids()[0], signal.SIGKILL)
        log_says(pool, "worker ready", times=started)

    boots_s = [float(text) for text in re.findall(r"worker ready .*boot_s=([\d.]+)", pool.log())]
    assert min(boots_s[1:]) < SLOW_S / 4, boots_s
    works(scene, pool)
