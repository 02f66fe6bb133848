"""P20: SIGHUP with a broken module, and then with a working one."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import psutil
import pytest

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.control.client import ask
from tests.faults.handler_modules import BROKEN, CANARY_DIES, OK, check_generation, generation_of, watch_capacity
from tests.faults.load import load, repeated
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.pool_status import status_of

FAILED = "reload failed, the old code stays"
Edit = Callable[[str], None]


@pytest.fixture
def control() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-run-") as directory:
        yield Path(directory) / "pool.sock"


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """edit(source): replace the source of the handler's module."""
    module = tmp_path / "tasks.py"

    def edit(source: str) -> None:
        (tmp_path / "tasks.new").write_text(source)
        (tmp_path / "tasks.new").replace(module)

    edit(OK.format(number=1))
    return edit


@pytest.fixture
def start(scene: Scene, tmp_path: Path, control: Path) -> Callable[..., Pool]:
    def start(*args: str, **options: Any) -> Pool:
        env = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        return scene.pool(f"--control={control}", *args, handler="tasks:handler", env=env, **options)

    return start


def _tried_in_vain(pool: Pool, control: Path, times: int) -> None:
    log_says(pool, FAILED, times=times)
    eventually(lambda: ask(control, "check") == "ok", PATIENCE_S, pool.log)
    status = status_of(control)
    assert (status["reload"], status["generation"], status["working"]) == ("none", 0, 2)
    assert status["last_reload_error"]


@pytest.mark.usually(3)
@pytest.mark.parametrize("name", [*sorted(CANARY_DIES), *sorted(BROKEN)])
def test_broken_code_changes_nothing_and_repaired_code_takes_over(
    scene: Scene, start: Callable[..., Pool], edit: Edit, control: Path, name: str
) -> None:
    pool = start()
    old = pool.worker_pids()
    canary_dies = name in CANARY_DIES
    source = {**BROKEN, **CANARY_DIES}[name]

    with repeated(watch_capacity(control, 1)), load(scene, {}, {}):
        edit(
            OK.format(number=2) + source
            if canary_dies
            else source + OK.format(number=2).replace("def handler", "def unused")
        )
        pool.signal(signal.SIGHUP)
        _tried_in_vain(pool, control, 1)
        pool.signal(signal.SIGHUP)
        _tried_in_vain(pool, control, 2)
        assert pool.exit_code is None
        eventually(lambda: pool.worker_pids() == old, PATIENCE_S, "the old workers, and no other")
        check_generation(scene, 1)

        edit(OK.format(number=3))
        pool.signal(signal.SIGHUP)
        log_says(pool, "INFO    reloaded")
        check_generation(scene, 3)

    status = status_of(control)
    assert (status["generation"], status["last_reload_error"]) == (1, "")
    scene.settle(extra_runs=0)
    assert not set(old) & set(pool.worker_pids())
    assert {event.fields["delivery"] for event in scene.ledger.starts()} == {1}, "a message was blamed"
    scene.retire(pool, tracebacks=2)


@pytest.mark.usually(1)
@pytest.mark.parametrize("source", [BROKEN["raises"], BROKEN["os._exit(0)"], BROKEN["killed"]])
def test_without_a_template_a_worker_with_broken_code_dies_alone(
    scene: Scene, start: Callable[..., Pool], edit: Edit, control: Path, source: str
) -> None:
    pool = start("--preload=off")
    old = pool.worker_pids()

    with repeated(watch_capacity(control, 1)), load(scene, {}):
        edit(source)
        pool.signal(signal.SIGHUP)
        _tried_in_vain(pool, control, 1)
        eventually(lambda: pool.worker_pids() == old, PATIENCE_S, "the old workers, and no other")
        check_generation(scene, 1)

        edit(OK.format(number=2))
        pool.signal(signal.SIGHUP)
        log_says(pool, "INFO    reloaded")
        check_generation(scene, 2)

    scene.settle(extra_runs=0)
    scene.retire(pool, tracebacks=1)


def test_a_canary_that_is_killed_while_it_imports_ends_the_reload_and_no_worker(
    scene: Scene, start: Callable[..., Pool], edit: Edit, control: Path, tmp_path: Path
) -> None:
    pool = start("--preload=off")
    old = pool.worker_pids()
    edit(f"from tests.support.actions import wait_for_file\nwait_for_file({{'path': {str(tmp_path / 'never')!r}}})\n")

    pool.signal(signal.SIGHUP)
    (canary,) = eventually(lambda: set(pool.worker_pids()) - set(old), PATIENCE_S, pool.log)
    check_generation(scene, 1)
    os.kill(canary, signal.SIGKILL)
    _tried_in_vain(pool, control, 1)

    eventually(lambda: pool.worker_pids() == old, PATIENCE_S, "the old workers, and no other")
    check_generation(scene, 1)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_capacity_stays_while_a_pool_under_load_is_reloaded_repeatedly(
    scene: Scene, start: Callable[..., Pool], edit: Edit, control: Path
) -> None:
    pool = start(concurrency=3)

    with repeated(watch_capacity(control, 2)), load(scene, {}, {}, {}):
        for number in range(2, 5):
            edit(OK.format(number=number))
            pool.signal(signal.SIGHUP)
            log_says(pool, "INFO    reloaded", times=number - 1)
            check_generation(scene, number)

    scene.settle(extra_runs=0)
    assert scene.mq.stats(QUEUE).requeued == 0
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_a_message_running_during_a_reload_is_finished_by_its_worker(
    scene: Scene, start: Callable[..., Pool], edit: Edit, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"from tests.support.actions import wait_for_file\nwait_for_file({{'path': {str(gate)!r}}})\n"
    edit(OK.format(number=1).replace("    ok(", "    " + waits.replace("\n", "\n    ") + "ok("))
    pool = start()
    message = scene.publish_one({})
    eventually(lambda: scene.ledger.events("generation"), PATIENCE_S, pool.log)
    (worker,) = {event.pid for event in scene.ledger.events("generation")}

    edit(OK.format(number=2))
    pool.signal(signal.SIGHUP)
    log_says(pool, "new code has booted")
    others = scene.publish(*[{}] * 20)
    scene.ledger.wait_handled(*others, timeout_s=PATIENCE_S)
    assert psutil.pid_exists(worker)
    assert message in scene.held()
    gate.touch()

    log_says(pool, "INFO    reloaded")
    scene.settle(extra_runs=0)
    assert generation_of(scene.ledger, message) == 1
    check_generation(scene, 2)
    scene.settle(extra_runs=0)
    scene.retire(pool)
