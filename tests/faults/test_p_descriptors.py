"""P22: a process of the pool cannot open descriptors. The pool survives, backs off, and recovers."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from bizzmq.errors import BizzMQError, PoolSilentError
from bizzmq.testing import invariants
from bizzmq.testing.layout import command
from bizzmq.testing.roles import JANITOR
from bizzmq.testing.wait import eventually
from bizzmq.workers.control.client import ask
from bizzmq.workers.control.control_socket import CHECK
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.faults.system_limits import (
    NOT_STARTED,
    back_to_strength,
    handles_more,
    helper_comes_back,
    kill_worker,
    no_descriptors,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit exists on Linux only")


@pytest.fixture
def control() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-run-") as directory:
        yield Path(directory) / "pool.sock"


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_supervisor_without_descriptors_survives_its_workers_deaths(scene: Scene, preload: str) -> None:
    pool = scene.pool(f"--preload={preload}", "--kill-memory=2000")

    with no_descriptors(pool.supervisor_pid), invariants.log_rate(pool.log):
        kill_worker(pool)
        log_says(pool, NOT_STARTED, times=3)
        handles_more(scene)
    assert pool.exit_code is None

    back_to_strength(scene, pool)
    handles_more(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("role", ["janitor", "template"])
def test_a_supervisor_without_descriptors_survives_its_helpers_deaths(scene: Scene, role: str) -> None:
    pool = scene.pool()
    former = pool.helper_pid(role)

    with no_descriptors(pool.supervisor_pid), invariants.log_rate(pool.log):
        os.kill(former, signal.SIGKILL)
        log_says(pool, "the janitor could not be started" if role == "janitor" else "cannot be imported", times=3)
        handles_more(scene)
    assert pool.exit_code is None

    helper_comes_back(scene, pool, role, former)


def test_a_supervisor_without_descriptors_obeys_every_signal(scene: Scene) -> None:
    pool = scene.pool(concurrency=1)

    with no_descriptors(pool.supervisor_pid):
        pool.signal(signal.SIGTTIN)
        log_says(pool, "number of workers changed")
        pool.signal(signal.SIGHUP)
        log_says(pool, "reload failed, the old code stays")
        pool.signal(signal.SIGUSR1)
        log_says(pool, "worker stack")
        handles_more(scene)
    back_to_strength(scene, pool)
    with no_descriptors(pool.supervisor_pid):
        pool.signal(signal.SIGTERM)
        scene.gone(pool)
    scene.settle(extra_runs=0)


def test_a_control_request_to_a_supervisor_without_descriptors_is_answered_later(scene: Scene, control: Path) -> None:
    pool = scene.pool(f"--control={control}")

    with no_descriptors(pool.supervisor_pid), invariants.log_rate(pool.log):
        with pytest.raises(PoolSilentError):
            ask(control, CHECK, timeout_s=1.0)
        handles_more(scene)

    assert eventually(lambda: ask(control, CHECK), PATIENCE_S, ignoring=(BizzMQError,)) == "ok"
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_a_template_without_descriptors_does_not_end_the_pool(scene: Scene) -> None:
    pool = scene.pool()

    with no_descriptors(pool.template_pid(), 3), invariants.log_rate(pool.log):
        kill_worker(pool)
        handles_more(scene)
        log_says(pool, "the template has died, starting another one")

    back_to_strength(scene, pool)
    handles_more(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_a_janitor_without_descriptors_processes_requests_later(scene: Scene) -> None:
    pool = scene.pool()
    janitor = pool.janitor_pid()

    with no_descriptors(janitor, 3), invariants.log_rate(pool.log):
        pool.signal(signal.SIGTTOU)  # one worker exits: the first time that this janitor requeues messages
        eventually(lambda: len(pool.worker_pids()) == 1 and len(scene.registered()) == 1, PATIENCE_S, pool.log)
        command(scene.redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        log_says(pool, f"Redis is unavailable, retrying who={JANITOR}")
        handles_more(scene)

    log_says(pool, f"Redis is available again who={JANITOR}")
    assert pool.janitor_pid() == janitor
    pool.signal(signal.SIGTTIN)
    back_to_strength(scene, pool)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_a_janitor_without_descriptors_learns_of_new_workers_later(scene: Scene) -> None:
    """Without the worker's process it could not settle its messages after the supervisor is gone, too."""
    pool = scene.pool()
    janitor = pool.janitor_pid()

    with no_descriptors(janitor):
        for _ in range(3):
            kill_worker(pool)
            handles_more(scene)
        eventually(lambda: len(pool.worker_pids()) == 2, PATIENCE_S, pool.log)
    assert pool.janitor_pid() == janitor, pool.log()

    handles_more(scene)
    os.kill(pool.supervisor_pid, signal.SIGKILL)
    eventually(lambda: scene.registered() == {}, PATIENCE_S, pool.log)
    assert "CRITICAL" not in pool.log()
