"""P18: handlers that fork, daemonize, and leave threads, grandchildren and zombies."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Iterator

import psutil
import pytest

from bizzmq.testing import invariants
from bizzmq.testing.family import is_living
from bizzmq.testing.ledger import Event
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.limit_actions import HANDLER
from tests.faults.offspring_actions import BEAT, ESCAPED
from tests.faults.scene import PATIENCE_S, QUEUE, Scene


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that handlers wait for."""
    return tmp_path / "gate"


@pytest.fixture
def daemons(scene: Scene) -> Iterator[None]:
    """Kills the processes that have recorded a beat, if the test did not."""
    yield
    for pid in {event.pid for event in scene.ledger.events(BEAT)}:
        _end(pid)


_PF_EXITING = 0x4
"""The kernel's flag of an ending process (include/linux/sched.h)."""


def lives(pid: int) -> bool:
    """Whether it can still run: a killed process may be listed until the kernel has removed it."""
    try:
        return is_living(psutil.Process(pid)) and not _is_ending(pid)
    except psutil.NoSuchProcess:
        return False


def _is_ending(pid: int) -> bool:
    try:
        flags = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[6])
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, IndexError):
        return False
    pending = re.search(r"^ShdPnd:\s+([0-9a-f]+)$", status, re.MULTILINE)
    return bool(flags & _PF_EXITING or (pending and int(pending.group(1), 16) & 1 << signal.SIGKILL - 1))


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def beats(scene: Scene, message: str) -> list[Event]:
    return [event for event in scene.ledger.events(BEAT) if event.id == message]


def only_workers_ran(scene: Scene, pool: Pool) -> None:
    ran = {event.pid for event in scene.ledger.starts()}
    assert ran <= set(pool.started_worker_pids()), "a grandchild has run messages"


FORKS = ["fork_and_return", "fork_and_raise", "fork_and_exit"]


@pytest.mark.usually(2)
@pytest.mark.parametrize("action", FORKS)
def test_a_forked_copy_that_leaves_the_handler_ends_there_and_settles_nothing(
    scene: Scene, gate: Path, action: str
) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    message = scene.publish_one({"do": action, "path": str(gate)})
    scene.publish(*[{"do": "ok"}] * 20)

    (copy,) = eventually(lambda: scene.ledger.events(ESCAPED), PATIENCE_S, pool.log)
    eventually(lambda: not lives(copy.pid), PATIENCE_S, "the copy to end")

    assert message in scene.held(), "the copy acked or retried the message that the worker still runs"
    assert not scene.totals().get("acked")
    gate.touch()
    scene.settle(extra_runs=0)
    assert scene.mq.stats(QUEUE).acked == 21
    assert not scene.totals().get("retried")
    only_workers_ran(scene, pool)
    scene.retire(pool, tracebacks=1)  # the copy's exception is logged


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", FORKS)
def test_the_end_of_a_forked_copy_is_not_the_end_of_its_message(scene: Scene, gate: Path, action: str) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    message = scene.publish_one({"do": action, "path": str(gate), "times": 1})
    (copy,) = eventually(lambda: scene.ledger.events(ESCAPED), PATIENCE_S, pool.log)
    eventually(lambda: not lives(copy.pid), PATIENCE_S, "the copy to end")

    os.kill(scene.ledger.wait_started(message).pid, signal.SIGKILL)  # only the shared scoreboard knows what it ran

    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    assert run.delivery == 2, "its crash was not noticed"
    scene.settle(extra_runs=1)
    only_workers_ran(scene, pool)
    scene.retire(pool, tracebacks=1)


@pytest.mark.usually(2)
@pytest.mark.parametrize("how", ["killed", "os_exit", "abort", "hold_gil"])
def test_a_workers_group_is_dead_before_its_message_runs_again(scene: Scene, gate: Path, how: str) -> None:
    pool = scene.pool("--timeout-grace=0.2", handler=HANDLER, concurrency=1)
    then = "wait_for_file" if how == "killed" else how
    limit = {"timeout_s": 0.5} if how == "hold_gil" else {}
    body = {"do": "fork_and_beat", "then": then, "path": str(gate), "times": 1}
    message = scene.publish_one(body, **limit)
    worker = scene.ledger.wait_started(message).pid

    if how == "killed":
        eventually(lambda: beats(scene, message), PATIENCE_S, pool.log)
        os.kill(worker, signal.SIGKILL)

    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    scene.settle(extra_runs=1)
    assert not [beat for beat in beats(scene, message) if beat.time_s > run.start.time_s], "its copy was still alive"
    assert run.pid != worker
    only_workers_ran(scene, pool)
    scene.retire(pool)


def test_a_drain_ends_processes_of_a_busy_worker_before_its_message_is_requeued(scene: Scene) -> None:
    pool = scene.pool("--drain-timeout=2", handler=HANDLER, concurrency=1)
    body = {"do": "fork_and_beat", "then": "wait_for_file", "path": "/never/there", "times": 1}
    message = scene.publish_one(body)
    eventually(lambda: beats(scene, message), PATIENCE_S, pool.log)

    scene.retire(pool)

    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    second = scene.pool(handler=HANDLER)
    run = scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    assert max(beat.time_s for beat in beats(scene, message)) < run.start.time_s
    scene.settle(extra_runs=1)
    scene.retire(second)


@pytest.mark.usually(1)
@pytest.mark.parametrize("ends", ["killed", "drained"])
def test_a_daemon_with_the_workers_descriptors_neither_works_nor_blocks_the_pool(
    scene: Scene, gate: Path, daemons: None, ends: str
) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    message = scene.publish_one({"do": "daemonise", "path": str(gate), "times": 1})
    daemon = eventually(lambda: beats(scene, message), PATIENCE_S, pool.log)[0].pid
    worker = scene.ledger.wait_started(message).pid
    assert os.getsid(daemon) != os.getsid(worker)

    if ends == "killed":
        os.kill(worker, signal.SIGKILL)
        scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    gate.touch()
    scene.publish(*[{"do": "ok"}] * 20)
    scene.settle(extra_runs=int(ends == "killed"))
    pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0
    assert not lives(daemon), "processes of a handler end with its worker, also in a session of their own"
    only_workers_ran(scene, pool)
    assert not scene.registered()
    scene.gone(pool)


def test_threads_and_zombies_of_handlers_end_with_their_worker(scene: Scene) -> None:
    pool = scene.pool("--drain-timeout=4", handler=HANDLER)
    scene.publish(*[{"do": "leave_thread"}, {"do": "leave_zombies"}] * 5, {"do": "leave_fork"})
    scene.settle(extra_runs=0)

    victim, _survivor = pool.worker_pids()
    os.kill(victim, signal.SIGKILL)

    eventually(lambda: len(pool.started_worker_pids()) == 3, PATIENCE_S, pool.log)
    scene.publish(*[{"do": "ok"}] * 20)
    scene.settle(extra_runs=0)
    scene.retire(pool)  # within its patience: the threads and the fork would live for a minute


def test_a_clients_connection_is_not_shared_with_forked_copies(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)

    scene.publish_one({"do": "publish_from_copies", "url": scene.url, "queue": QUEUE})

    eventually(lambda: len(set(scene.ledger.published())) == 62, PATIENCE_S, pool.log)
    scene.settle(extra_runs=0)
    assert scene.mq.stats(QUEUE).acked == 62
    only_workers_ran(scene, pool)
    scene.retire(pool)
