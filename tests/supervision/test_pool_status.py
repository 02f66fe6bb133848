"""The status of a pool: what the control socket says, and how `bizzmq pool` shows it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq import BizzMQ
from bizzmq.errors import PoolSilentError
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.control import control_socket
from bizzmq.workers.control.client import ask
from bizzmq.workers.control.control_socket import CHECK, IDLE, READY, STATUS, answer_with
from bizzmq.workers.control.request_server import RequestServer
from tests.faults.gated_handler import HANDLER, Gate
from tests.supervision.pool_status import is_working, publish, run, socket_of, status_of, wait_for_status
from tests.support.forked_command import Forked
from tests.support.paths import ROOT

StartPool = Callable[..., Pool]


def slots_in(state: str) -> Callable[[Any], Any]:
    return lambda status: [slot for slot in status["slots"] if slot["state"] == state]


def test_the_status_shows_what_is_paused_in_redis(start_pool: StartPool, url: str, runtime: Path, mq: BizzMQ) -> None:
    pool = start_pool(url)
    publish(url)
    mq.pause("q", task="send", by="ada", reason="a migration")

    shown = wait_for_status(socket_of(pool, runtime), lambda status: status["queues"][0]["paused"])["queues"][0]
    assert re.fullmatch("task send of q is paused by ada since 2.*Z: a migration", shown["paused"])
    assert shown["paused"] in run("bizzmq", "pool", "--control", str(socket_of(pool, runtime)), env={}).stdout
    mq.resume("q", task="send")
    wait_for_status(socket_of(pool, runtime), lambda status: status["queues"][0]["paused"] == "")


def test_the_status_shows_what_each_worker_runs(start_pool: StartPool, url: str, runtime: Path, tmp_path: Path) -> None:
    pool = start_pool(url, handler=HANDLER)
    gate = Gate(tmp_path / "gate")
    (message_id,) = publish(url, gate.body())

    status = wait_for_status(socket_of(pool, runtime), slots_in("running"))

    (busy,) = slots_in("running")(status)
    assert busy["message"] == message_id
    assert busy["queue"] == "q"
    assert busy["running_for_s"] >= 0
    assert busy["pid"] in pool.worker_pids()
    assert busy["memory_bytes"] > 1_000_000
    assert busy["cpu_s"] >= 0
    assert status["pid"] == pool.supervisor_pid
    assert status["state"] == "working"
    assert status["janitor_pid"] == pool.janitor_pid()
    assert status["template"]["state"] == "ready"
    assert status["target_workers"] == status["min_workers"] == status["max_workers"] == 2
    assert status["queues"] == [{"queue": "q", "closed_for_s": 0.0, "aside": "", "paused": ""}]
    assert status["redis_away"] is False

    gate.open()
    wait_for_status(socket_of(pool, runtime), lambda now: now["handled"] == 1 and not slots_in("running")(now))


def test_failures_and_deaths_are_counted(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url, concurrency=1, handler="tests.handlers:by_body")
    publish(url, {"do": "reject"}, {"do": "os_exit", "code": 7, "times": 1}, {})

    status = wait_for_status(socket_of(pool, runtime), lambda now: now["handled"] == 2 and now["deaths"] == 1)

    (slot,) = status["slots"]
    assert status["failed"] == 1
    assert slot["restarts"] == 1
    assert slot["last_death"] == "exited with code 7"


def test_a_slot_that_waits_for_its_next_worker_shows_that(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url, concurrency=1)
    path = socket_of(pool, runtime)
    wait_for_status(path, is_working)
    publish(url, *[{"do": "os_exit", "code": 1}] * 5)

    status = wait_for_status(path, slots_in("waiting"))

    (slot,) = slots_in("waiting")(status)
    assert slot["pid"] == 0
    assert slot["starts_in_s"] >= 0
    assert "exited with code 1" in slot["last_death"]


def test_every_state_has_a_name(start_pool: StartPool, url: str, runtime: Path, tmp_path: Path) -> None:
    pool = start_pool(url, concurrency=1, handler=HANDLER)
    path = socket_of(pool, runtime)
    gate = Gate(tmp_path / "gate")
    publish(url, gate.body())
    wait_for_status(path, slots_in("running"))
    assert ask(path, CHECK) == "ok"

    pool.signal(signal.SIGTSTP)
    eventually(lambda: ask(path, CHECK) == "paused")
    assert ask(path, READY) == "paused"
    pool.signal(signal.SIGCONT)
    eventually(lambda: ask(path, CHECK) == "ok")
    assert ask(path, READY) == "ok"
    pool.signal(signal.SIGHUP)
    eventually(lambda: ask(path, CHECK) == "reloading")
    retiring = slots_in("retiring")(wait_for_status(path, slots_in("retiring")))
    assert retiring[0]["message"], "a retiring worker is still shown with its message"
    pool.signal(signal.SIGTERM)
    eventually(lambda: ask(path, CHECK) == "draining")
    gate.open()

    assert pool.wait() == 0


def test_a_failed_reload_is_shown(start_pool: StartPool, url: str, runtime: Path, tmp_path: Path) -> None:
    module = tmp_path / "tasks_that_break.py"
    module.write_text("def handler(body): pass\n")
    pool = start_pool(url, handler="tasks_that_break:handler", env={"PYTHONPATH": f"{ROOT}:{tmp_path}"})
    wait_for_status(socket_of(pool, runtime), is_working)
    module.write_text("raise RuntimeError('not today')\n")

    pool.signal(signal.SIGHUP)

    status = wait_for_status(socket_of(pool, runtime), lambda now: now["last_reload_error"])
    assert "not today" in status["last_reload_error"]
    assert (status["reloads"], status["generation"]) == (1, 0)


# --- the commands -----------------------------------------------------------------------------------------------


def test_check_needs_a_pool_and_nothing_else(
    start_pool: StartPool, url: str, runtime: Path, environment: dict[str, str]
) -> None:
    silent = run("bizzmq.workers", "--check", env=environment)
    assert (silent.returncode, silent.stderr.count("\n")) == (1, 1)
    assert "no pool answers" in silent.stderr

    pool = start_pool(url)
    wait_for_status(socket_of(pool, runtime), is_working)

    assert run("bizzmq.workers", "--check", env=environment).returncode == 0
    assert run("bizzmq.workers", "--check", "ready", env=environment).returncode == 0
    named = run("bizzmq.workers", "--check", "--control", str(socket_of(pool, runtime)), env={})
    assert (named.returncode, named.stdout, named.stderr) == (0, "", "")


def test_an_impossible_socket_path_is_reported(environment: dict[str, str]) -> None:
    for command in (["bizzmq", "pool"], ["bizzmq.workers", "--check"]):
        ended = run(*command, "--control", f"/tmp/{'x' * 120}", env=environment)

        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        assert "AF_UNIX path too long" in ended.stderr


def test_check_succeeds_while_redis_is_unavailable(
    start_pool: StartPool, private_server: Any, runtime: Path, environment: dict[str, str]
) -> None:
    server = private_server()
    pool = start_pool(server.url)
    path = socket_of(pool, runtime)
    wait_for_status(path, is_working)

    server.kill()
    wait_for_status(path, lambda status: status["redis_away"])

    end_s = time.monotonic() + 2.0  # it stays away: what is not due meanwhile is no answer of Redis
    while time.monotonic() < end_s:
        assert status_of(path)["redis_away"]
    assert "available again" not in pool.log()
    assert run("bizzmq.workers", "--check", env=environment).returncode == 0
    unready = run("bizzmq.workers", "--check", "ready", env=environment)
    assert unready.returncode == 1
    assert unready.stderr == "bizzmq-worker: the pool is not ready: Redis is away\n"


def test_check_of_a_pool_that_hangs_fails(
    start_pool: StartPool, url: str, runtime: Path, environment: dict[str, str]
) -> None:
    pool = start_pool(url)
    wait_for_status(socket_of(pool, runtime), is_working)

    pool.signal(signal.SIGSTOP)

    with pytest.raises(PoolSilentError, match=r"has not answered within 0\.2 s"):
        ask(socket_of(pool, runtime), CHECK, timeout_s=0.2)
    pool.signal(signal.SIGCONT)
    eventually(lambda: ask(socket_of(pool, runtime), CHECK) == "ok")


def test_of_several_pools_one_has_to_be_named(
    start_pool: StartPool, url: str, runtime: Path, environment: dict[str, str]
) -> None:
    pools = [start_pool(url), start_pool(url)]
    for pool in pools:
        wait_for_status(socket_of(pool, runtime), is_working)

    asked = run("bizzmq.workers", "--check", env=environment)

    assert asked.returncode == 1
    assert all(str(socket_of(pool, runtime)) in asked.stderr for pool in pools)
    table = run("bizzmq", "pool", "--control", str(socket_of(pools[0], runtime)), env=environment)
    assert f"pool {pools[0].supervisor_pid}, working" in table.stdout


def test_the_table_shows_each_worker(
    start_pool: StartPool, url: str, runtime: Path, environment: dict[str, str]
) -> None:
    pool = start_pool(url)
    wait_for_status(socket_of(pool, runtime), is_working)

    table = run("bizzmq", "pool", env=environment)
    document = run("bizzmq", "pool", "--json", env=environment)

    assert table.returncode == document.returncode == 0
    for pid in pool.worker_pids():
        assert any(f" {pid} " in line and " idle " in line for line in table.stdout.splitlines())
    assert {slot["pid"] for slot in json.loads(document.stdout)["slots"]} == set(pool.worker_pids())


def test_watch_refreshes_a_terminal_until_the_pool_is_gone(
    start_pool: StartPool, url: str, runtime: Path, environment: dict[str, str]
) -> None:
    pool = start_pool(url)
    wait_for_status(socket_of(pool, runtime), is_working)
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "bizzmq", "pool", "--watch"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
    watching = subprocess.Popen(
        command, cwd=str(ROOT), env={**inherited, **environment}, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    seen = b""

    def has_seen(text: bytes, times: int) -> bool:
        nonlocal seen
        if select.select([master], [], [], 0.05)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:  # the other end is closed
                return True
        return seen.count(text) >= times

    try:
        eventually(lambda: has_seen(b"\x1b[H\x1b[2J", 2), 20.0, lambda: repr(seen))
        pool.signal(signal.SIGTERM)
        assert pool.wait() == 0
        eventually(lambda: has_seen(b"no pool answers", 1), 20.0, lambda: repr(seen))
        assert watching.wait(60.0) == 1
    finally:
        watching.kill()
        watching.wait()
        os.close(master)


def test_data_from_outside_cannot_control_the_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    directory = Path(environment["XDG_RUNTIME_DIR"])
    slot = {
        "slot": 0, "pid": 1, "worker": "w", "state": "idle", "message": "\x1b[31mred", "queue": "q",
        "running_for_s": None, "memory_bytes": None, "cpu_s": None, "cpu_percent": None, "handled": 0, "failed": 0,
        "restarts": 0, "last_death": "a\nb", "starts_in_s": None, "generation": 0,
    }  # fmt: skip
    status = {
        "pid": 1, "state": "work\x07ing", "not_ready": "", "uptime_s": 1.0, "version": "1", "supervisor": "s",
        "working": 1, "target_workers": 1, "min_workers": 1, "max_workers": 1, "capacity": 1, "handled": 0,
        "failed": 0, "deaths": 0, "queues": [{"queue": "q\x1b", "closed_for_s": 0}], "redis_away": False,
        "template": {"pid": 1, "state": "ready"}, "janitor_pid": 2, "reloads": 0, "generation": 0,
        "last_reload_error": "\x1b]0;title\x07", "slots": [slot],
    }  # fmt: skip
    listener = control_socket.bind(directory / "forged.sock")
    server = RequestServer(listener, answer_with({STATUS: lambda: status}))
    command = [sys.executable, "-m", "bizzmq", "pool", "--control", str(directory / "forged.sock")]
    asking = subprocess.Popen(command, cwd=str(ROOT), stdout=subprocess.PIPE)
    try:
        eventually(lambda: server.serve() or asking.poll() is not None, 20.0)
        shown = asking.communicate()[0].decode()
    finally:
        asking.kill()
        asking.wait()
        server.close()

    assert asking.returncode == 0
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert r"\x1b[31mred" in shown
    assert r"a\nb" in shown


def test_an_incomplete_status_is_displayed(environment: dict[str, str]) -> None:
    path = Path(environment["XDG_RUNTIME_DIR"]) / "forged.sock"
    server = RequestServer(control_socket.bind(path), answer_with({STATUS: lambda: {"slots": [{}]}}))
    with tempfile.TemporaryFile() as reported:
        with Forked(["pool", "--control", str(path)], [reported.fileno()] * 3, {}) as asking:
            eventually(lambda: server.serve() or asking.poll() is not None, 20.0)
            assert asking.code() == 1
        server.close()
        reported.seek(0)
        assert reported.read() == b"bizzmq: the reply is not from a pool of this version: --json shows it\n"


def test_a_pool_is_idle_if_no_worker_runs_or_holds_a_message(
    start_pool: StartPool, url: str, runtime: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    pool = start_pool(url, handler=HANDLER)
    path = socket_of(pool, runtime)
    wait_for_status(path, is_working)
    assert run("bizzmq.workers", "--check", "idle", env=environment).returncode == 0
    gate = Gate(tmp_path / "gate")
    publish(url, gate.body())
    wait_for_status(path, slots_in("running"))
    pool.signal(signal.SIGTSTP)
    eventually(lambda: ask(path, CHECK) == "paused")

    busy = run("bizzmq.workers", "--check", "idle", env=environment)

    assert busy.returncode == 1
    assert busy.stderr == "bizzmq-worker: the pool is not idle: 1 worker runs a message\n"
    gate.open()
    eventually(lambda: ask(path, IDLE) == "ok")
    assert run("bizzmq.workers", "--check", "idle", env=environment).returncode == 0


def test_a_pool_that_could_not_ack_yet_is_not_idle(
    start_pool: StartPool, private_server: Any, runtime: Path, tmp_path: Path
) -> None:
    server = private_server()
    pool = start_pool(server.url, handler=HANDLER, concurrency=1)
    path = socket_of(pool, runtime)
    wait_for_status(path, is_working)
    gate = Gate(tmp_path / "gate")
    publish(server.url, gate.body())
    wait_for_status(path, slots_in("running"))
    server.kill()

    gate.open()

    eventually(lambda: ask(path, IDLE) == "1 worker has finished a message that is not acked yet")
    server.start()
    eventually(lambda: ask(path, IDLE) == "ok", 30.0)
