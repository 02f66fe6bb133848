"""P19: handlers whose import fails, at the start and later."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.paths import ROOT

OK = "from tests.handlers import ok as handler\n"
RAISES = "def configure():\n    raise RuntimeError('no configuration')\n\nconfigure()\n"
StartTasks = Callable[..., Pool]
preloading = pytest.mark.parametrize("preload", ["on", "off"])


@pytest.fixture
def start_tasks(scene: Scene, tmp_path: Path) -> StartTasks:
    """start_tasks(source): a pool whose handler's module `tasks` has this source."""

    def start(source: str, *args: str, name: str = "handler", **options: Any) -> Pool:
        (tmp_path / "tasks.py").write_text(source)
        env = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        return scene.pool(*args, ready=False, handler=f"tasks:{name}", env=env, **options)

    return start


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("source", "name", "reported"),
    [
        ("import no_such_thing.at_all\n", "handler", "No module named 'no_such_thing'"),
        (RAISES, "handler", "RuntimeError: no configuration"),
        ("def handler(message):\n    yield\n", "handler", "cannot take a message: it is a generator function"),
        ("import os; os._exit(0)\n", "handler", "exited with code 0 while"),
        ("x = 1\n", "handler", "has no 'handler'"),
        ("class A:\n    pass\n", "A.b", "has no 'A.b'"),
        ("class A:\n    def b(self, message): pass\n", "A.b", "its first parameter is self"),
        ("handler = 42\n", "handler", "must be callable, not int"),
        ("def handler():\n    pass\n", "handler", "the handler tasks:handler cannot take a message"),
        (
            "class Handler:\n    def __init__(self, message): pass\n",
            "Handler",
            "cannot take a message: it is a class",
        ),
        ("import sys; sys.exit(0)\n", "handler", "SystemExit: 0"),
        ("raise KeyboardInterrupt\n", "handler", "KeyboardInterrupt"),
        ("def handler(:\n", "handler", "SyntaxError"),
        ("import os; os.abort()\n", "handler", "was killed by SIGABRT while"),
    ],
)
@preloading
def test_a_handler_that_cannot_be_imported_is_logged_once_and_ends_the_pool_with_3(
    scene: Scene, start_tasks: StartTasks, source: str, name: str, reported: str, preload: str
) -> None:
    message = scene.publish_one({})
    pool = start_tasks(source, f"--preload={preload}", name=name)

    scene.gone(pool, 3, tracebacks=1)

    last = pool.log().splitlines()[-1]
    assert last.startswith("bizzmq-worker: ")
    assert reported in last
    if preload == "on":
        assert not pool.started_worker_pids()
        assert pool.log().count("template started") == (3 if "os." in source else 1), "too many attempts"
    else:
        assert len(pool.started_worker_pids()) == 2, "it was tried again"
    assert scene.waiting() == [message]
    invariants.check_nobody_blamed(scene.redis, "q")
    assert not scene.registered()


def test_a_handler_result_that_was_never_run_leaves_a_dead_letter_with_the_reason(
    scene: Scene, start_tasks: StartTasks
) -> None:
    pool = start_tasks(
        "import contextlib\n\n@contextlib.contextmanager\ndef work(message):\n    yield\n\n"
        "def handler(message):\n    return work(message)\n"
    )
    message = scene.publish_one({}, retries=0)

    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 1, PATIENCE_S, pool.log)

    log_says(pool, "HandlerResultError: the handler returned a context manager")
    assert f"id={message}" in pool.log()
    assert not scene.totals().get("acked")
    scene.retire(pool)


def test_a_module_that_does_not_exist_is_one_clear_line(scene: Scene) -> None:
    pool = scene.pool(ready=False, handler="no_such_module:handler")

    scene.gone(pool, 3)

    assert pool.log().splitlines()[-1].startswith("bizzmq-worker: there is no module 'no_such_module' here")


def test_the_traceback_has_frames_of_the_user_and_none_of_ours(
    scene: Scene, start_tasks: StartTasks, tmp_path: Path
) -> None:
    pool = start_tasks(RAISES)

    scene.gone(pool, 3, tracebacks=1)

    files = [line.strip() for line in pool.log().splitlines() if line.strip().startswith("File ")]
    tasks = f'File "{tmp_path / "tasks.py"}"'
    assert files == [f"{tasks}, line 4, in <module>", f"{tasks}, line 2, in configure"]
    assert str(ROOT / "workers") not in pool.log()


@pytest.mark.usually(1)
@preloading
def test_nothing_is_claimed_before_a_slow_import_is_complete(
    scene: Scene, start_tasks: StartTasks, tmp_path: Path, preload: str
) -> None:
    message = scene.publish_one({})
    gate = tmp_path / "imported"
    source = f"from tests.support.actions import wait_for_file\nwait_for_file({{'path': {str(gate)!r}}})\n{OK}"
    pool = start_tasks(source, f"--preload={preload}")
    log_says(pool, "template started" if preload == "on" else "janitor started")
    if preload == "off":
        eventually(lambda: len(scene.registered()) == 1, PATIENCE_S, "the worker that imports first to be registered")

    scene.check_stored()
    assert scene.waiting() == [message]
    assert not scene.held()

    gate.touch()
    scene.settle()
    scene.retire(pool)


def test_a_slot_that_failed_once_is_tried_again_when_another_could_boot(
    scene: Scene, start_tasks: StartTasks, tmp_path: Path
) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    pool = start_tasks(
        f"import os\nif os.path.exists({str(fuse)!r}):\n    os.unlink({str(fuse)!r})\n    1 / 0\n{OK}", "--preload=off"
    )

    pool.wait_ready()

    assert not fuse.exists()
    eventually(lambda: len(pool.started_worker_pids()) == 3, PATIENCE_S, pool.log)
    scene.publish({}, {})
    scene.settle()
    scene.retire(pool)


def test_a_module_that_breaks_later_does_not_affect_imported_code(
    scene: Scene, start_tasks: StartTasks, tmp_path: Path
) -> None:
    pool = start_tasks(OK, "--preload=on")
    pool.wait_ready()
    (tmp_path / "tasks.py").write_text(RAISES)

    os.kill(pool.worker_pids()[0], signal.SIGKILL)

    log_says(pool, "worker ready", times=3)
    scene.publish(*[{}] * 10)
    scene.settle()
    scene.retire(pool)


def test_a_template_that_dies_when_its_module_is_broken_costs_no_worker(
    scene: Scene, start_tasks: StartTasks, tmp_path: Path
) -> None:
    pool = start_tasks(OK, "--preload=on")
    pool.wait_ready()
    (tmp_path / "tasks.py").write_text(RAISES)

    os.kill(pool.template_pid(), signal.SIGKILL)

    log_says(pool, "the handler cannot be imported any more")
    scene.publish(*[{}] * 10)
    scene.settle()
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    (tmp_path / "tasks.py").write_text(OK)
    log_says(pool, "worker ready", times=3)
    eventually(lambda: len(scene.registered()) == 2, PATIENCE_S, "the slot to recover")
    scene.retire(pool)


def test_a_template_that_is_killed_during_the_first_import_is_tried_again(
    scene: Scene, start_tasks: StartTasks, tmp_path: Path
) -> None:
    gate = tmp_path / "imported"
    source = f"from tests.support.actions import wait_for_file\nwait_for_file({{'path': {str(gate)!r}}})\n{OK}"
    pool = start_tasks(source, "--preload=on")
    log_says(pool, "template started")

    os.kill(pool.template_pid(), signal.SIGKILL)

    log_says(pool, "template started", times=2)
    gate.touch()
    pool.wait_ready()
    scene.publish({}, {})
    scene.settle()
    scene.retire(pool)


def test_without_preload_a_module_that_breaks_later_costs_only_the_workers_that_die(
    scene: Scene, start_tasks: StartTasks, tmp_path: Path
) -> None:
    pool = start_tasks(OK, "--preload=off")
    pool.wait_ready()
    (tmp_path / "tasks.py").write_text(RAISES)

    victim, survivor = pool.worker_pids()
    os.kill(victim, signal.SIGKILL)
    log_says(pool, "cannot boot any more", times=3)
    scene.publish(*[{}] * 10)
    scene.settle()

    assert {event.pid for event in scene.ledger.starts()} == {survivor}
    assert pool.exit_code is None
    assert len(pool.started_worker_pids()) < 8, "a fork storm"
    (tmp_path / "tasks.py").write_text(OK)
    eventually(lambda: len(scene.registered()) == 2, PATIENCE_S, "the slot to recover")
    scene.retire(pool)
