"""R3 with `--journal`: a handler ends while Redis is unavailable, and its whole pool dies before Redis is back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq import MessageOptions
from bizzmq.client import publish_to_task
from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from bizzmq.workers.journal import file_format
from tests.faults.gated_handler import HANDLER, Gate
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.faults.unrelated_processes import forge

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
RELEASING = "tests.faults.gated_release:handler"
AWAY = "Redis is unavailable"
KEPT, SETTLED = "the outcome is kept in the journal", "a journal was settled, its worker is gone"
DROPPED = "a journal was dropped, its worker is not registered any more"
SHORT_LEASE = "--lease=1"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "below" / "journal"


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("action", "options", "totals"),
    [
        ("ok", {}, {"acked": 1}),
        ("raise", {"retries": 0}, {"dead_lettered": 1}),
        ("retry_later", {"retries": 1}, {"acked": 1, "retried": 1}),
    ],
)
def test_a_finished_message_does_not_run_again_when_the_whole_pool_dies_before_redis_is_back(
    own_scene: OwnScene, directory: Path, action: str, options: dict[str, Any], totals: dict[str, int]
) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate, message = _running(scene, directory, action, "ok", **options)
    other = scene.publish_one(gate.body())
    _end_while_away(server, gate, directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()] == [0o600]
    pool.kill_group()
    server.start()

    second = scene.pool(_journal(directory), handler=HANDLER, concurrency=1)

    runs = totals.get("retried", 0)
    scene.settle(extra_runs=runs, dead_lettered=totals.get("dead_lettered", 0))
    assert len(scene.ledger.runs_of(message)) == 1 + runs
    assert [run.delivery for run in scene.ledger.runs_of(other)] == [1]
    counted = {name: count for name, count in scene.totals().items() if name != "requeued"}
    assert counted == {"published": 2, **totals, "acked": totals.get("acked", 0) + 1}
    assert KEPT in pool.log()
    assert second.log().count(SETTLED) == 1
    assert not list(directory.iterdir())
    scene.retire(second)


def test_a_message_of_an_unknown_task_comes_back_without_blame_from_the_journal(
    own_scene: OwnScene, directory: Path
) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate = scene.pool(_journal(directory), handler=RELEASING, concurrency=1), scene.gate()
    body = gate.body()
    (message,) = publish_to_task(scene.mq, QUEUE, [body], MessageOptions(), "added", 1)
    eventually(Path(f"{body['gate']}.decided").exists, PATIENCE_S, pool.log)
    _end_while_away(server, gate, directory)
    pool.kill_group()
    server.start()

    second = scene.pool(_journal(directory), handler=RELEASING, concurrency=1)

    log_says(second, SETTLED)
    assert set(scene.totals()) == {"published", "requeued"}  # it may have been looked at again since
    found = scene.mq.find(message, QUEUE)
    assert (found.retry_count, found.crash_count) == (0, 0)
    scene.mq.purge(QUEUE)
    scene.retire(second)


def test_a_living_pool_settles_the_journal_before_it_reaps_its_owner(own_scene: OwnScene, directory: Path) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate, _ = _running(scene, directory)
    other = scene.pool(_journal(directory), SHORT_LEASE, handler=HANDLER, ready=False)
    other.wait_ready(registered=3)
    _end_while_away(server, gate, directory)
    pool.kill_group()
    server.start()

    scene.settle(extra_runs=0)
    log_says(other, "a silent supervisor was reaped")
    assert scene.totals() == {"published": 1, "acked": 1}
    scene.retire(other)


def test_a_journal_is_removed_when_its_outcomes_are_settled(own_scene: OwnScene, directory: Path) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate, _ = _running(scene, directory)
    _end_while_away(server, gate, directory)
    bystander = scene.pool(
        _journal(directory), handler=HANDLER, concurrency=1, ready=False
    )  # its janitor reads journals, too
    log_says(bystander, AWAY)

    server.start()

    scene.settle(extra_runs=0)
    eventually(lambda: not list(directory.iterdir()), PATIENCE_S, "the journal to be removed")
    assert scene.totals() == {"published": 1, "acked": 1}
    bystander.wait_ready(registered=2)
    assert "lease lost" not in pool.log()
    assert SETTLED not in bystander.log() + pool.log(), (
        "the journal of a living worker was treated as that of a dead one"
    )
    scene.retire(pool, bystander)


def test_messages_that_another_pool_took_over_stay_with_it(own_scene: OwnScene, directory: Path) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate, message = _running(scene, directory)
    _end_while_away(server, gate, directory, opened=1)
    pool.kill_group()
    server.start()
    owner = scene.pool(SHORT_LEASE, handler=HANDLER, ready=False)
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)

    second = scene.pool(_journal(directory), handler=HANDLER, ready=False)

    log_says(second, DROPPED)
    assert scene.held() == [message]
    eventually(lambda: not list(directory.iterdir()), PATIENCE_S, "the journal to be removed")  # after the log line
    gate.open(2)
    scene.settle(extra_runs=1)
    assert scene.totals() == {"published": 1, "acked": 1, "requeued": 1}
    scene.retire(owner, second)


def test_a_pool_drained_while_redis_is_unavailable_leaves_a_journal(own_scene: OwnScene, directory: Path) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate, _ = _running(scene, directory, args=["--drain-timeout=1"])
    _end_while_away(server, gate, directory)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    pool.assert_no_process_left()
    server.start()

    second = scene.pool(_journal(directory), handler=HANDLER)

    scene.settle(extra_runs=0)
    assert scene.totals() == {"published": 1, "acked": 1}
    scene.retire(second)


@pytest.mark.parametrize("with_journal", [True, False])
def test_a_finished_message_is_acked_when_its_worker_is_killed_while_redis_is_unavailable(
    own_scene: OwnScene, directory: Path, with_journal: bool
) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate, message = _running(scene, directory if with_journal else None)
    (pid,) = pool.worker_pids()
    if with_journal:
        _end_while_away(server, gate, directory)
    else:
        server.kill()
        gate.open()
        log_says(pool, AWAY, times=2)  # the janitor and the worker
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(pool.started_worker_pids()) == 2, PATIENCE_S, pool.log)
    server.start()

    scene.settle(extra_runs=0)
    assert scene.totals() == {"published": 1, "acked": 1}
    eventually(lambda: not directory.exists() or not list(directory.iterdir()), PATIENCE_S, "the journal to be removed")
    assert len(scene.ledger.runs_of(message)) == 1
    scene.retire(pool)


def test_a_journal_that_cannot_be_written_is_logged_once_and_changes_nothing_else(
    own_scene: OwnScene, directory: Path
) -> None:
    server, scene = own_scene(persistence="aof")
    pool, gate, _ = _running(scene, directory)
    shutil.rmtree(directory)
    server.kill()
    gate.open()
    log_says(pool, "the journal cannot be written")
    server.start()

    scene.settle(extra_runs=0)
    assert pool.log().count("the journal cannot be written") == 1
    assert pool.log().count("files in the journal directory were skipped") <= 1
    scene.retire(pool)


def test_invalid_and_forged_journals_are_skipped_and_ack_nothing_their_worker_does_not_hold(
    scene: Scene, directory: Path
) -> None:
    living = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    victim = scene.publish_one(gate.body())
    scene.ledger.wait_started(victim)
    (worker,) = scene.registered()
    own = scene.publish_one(gate.body())
    directory.mkdir(mode=0o700, parents=True)
    names = _fill_with_nonsense(directory)
    misnamed = file_format.journal_name("h:boot:1:M/0.a")
    _forge_journal(scene, directory, worker, victim).rename(directory / misnamed)
    _forge_journal(scene, directory, worker, victim).chmod(0o644)
    names += [misnamed, file_format.journal_name(worker)]
    forged, unregistered = (f"h:boot:1:{name}/0.a" for name in ("F", "U"))
    forge(scene, "h:boot:1:F", forged, own)
    for name in (forged, unregistered):
        _forge_journal(scene, directory, name, victim)
    half = _forge_journal(scene, directory, "h:boot:1:H/0.a", "\ud800")  # an id that is not UTF-8
    names.append(half.name)

    pool = scene.pool(_journal(directory), handler=HANDLER, concurrency=1, ready=False)

    log_says(pool, DROPPED)
    log_says(pool, SETTLED)  # the message of the forged worker was requeued
    log_says(pool, "files in the journal directory were skipped")
    assert victim in scene.held()
    assert worker in scene.registered()
    assert sorted(path.name for path in directory.iterdir()) == sorted(names)
    assert scene.totals().get("acked", 0) == 0
    gate.open()
    scene.settle(extra_runs=0)
    assert pool.log().count("files in the journal directory were skipped") == 1
    invariants.check_log(pool.log())
    scene.retire(living, pool)


def _running(
    scene: Scene, directory: Path | None, *actions: str, args: list[str] | None = None, **options: Any
) -> tuple[Pool, Gate, str]:
    """Start a pool of one worker, which runs a message that waits for its gate."""
    journal = [_journal(directory)] if directory else []
    pool = scene.pool(*journal, *(args or []), handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body(*actions), **options)
    scene.ledger.wait_started(message)
    return pool, gate, message


def _end_while_away(server: RedisServer, gate: Gate, directory: Path, opened: int = 0) -> None:
    server.kill()
    gate.open(*([opened] if opened else []))
    eventually(lambda: list(directory.glob("*.journal")), PATIENCE_S, "a journal")


def _journal(directory: Path) -> str:
    return f"--journal={directory}"


def _forge_journal(scene: Scene, directory: Path, worker: str, finished: str) -> Path:
    path = directory / file_format.journal_name(worker)
    owed = {"what": "stopped", "last_finished": finished, "running": "", "record": {}}
    server = file_format.server_of(scene.url)
    path.write_text(json.dumps({"journal": 1, "worker": worker, "server": server, "owed": {"q": owed}}))
    path.chmod(0o600)
    return path


def _journal_path(directory: Path, nonce: str) -> Path:
    return directory / file_format.journal_name(f"h:boot:1:{nonce}/0.a")


def _fill_with_nonsense(directory: Path) -> list[str]:
    """Write files that no janitor may act on; returns their names."""
    contents = [
        "{",
        '{"journal": 1}',
        '{"journal": 2}',
        "[" * 100_000,
        "\0",
        json.dumps({"journal": 1, "worker": "../x"}),
    ]
    for index, text in enumerate(contents):
        _journal_path(directory, f"corrupt{index}").write_text(text)
        _journal_path(directory, f"corrupt{index}").chmod(0o600)
    _journal_path(directory, "directory").mkdir()
    _journal_path(directory, "link").symlink_to("/etc/passwd")
    _journal_path(directory, "broken").symlink_to(directory / "nowhere")
    os.mkfifo(_journal_path(directory, "fifo"))
    return [path.name for path in directory.iterdir()]
