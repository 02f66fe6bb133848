"""The control socket: the status of a pool, for its own user only, without blocking the supervisor's loop."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from bizzmq import BizzMQ, QueueOptions
from bizzmq.errors import ConfigurationError, PoolSilentError
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.control import control_socket
from bizzmq.workers.control.client import ask, find
from bizzmq.workers.control.control_socket import CHECK, READY, STATUS, ControlSocket, answer_with
from bizzmq.workers.control.request_server import MAX_CLIENTS, MAX_REQUEST_BYTES, TIMEOUT_S, RequestServer
from tests.faults.gated_handler import HANDLER, Gate
from tests.supervision.pool_status import run, socket_of, status_of, wait_for_status
from tests.support.forked_command import Forked
from tests.support.paths import ROOT
from tests.support.unprivileged import as_unprivileged, give_to_unprivileged

StartPool = Callable[..., Pool]


def is_working(status: Any) -> bool:
    return bool(status["working"] == status["target_workers"])


def slots_in(state: str) -> Callable[[Any], Any]:
    return lambda status: [slot for slot in status["slots"] if slot["state"] == state]


def publish(url: str, *bodies: Any) -> list[str]:
    with BizzMQ(url) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
        return mq.publish_messages_to_queue("q", list(bodies))


# --- the status -------------------------------------------------------------------------------------------------


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
        assert watching.wait(10.0) == 1
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


# --- the path of the socket -------------------------------------------------------------------------------------


def test_the_socket_is_private_and_removed_with_the_pool(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url)
    path = socket_of(pool, runtime)
    wait_for_status(path, is_working)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    pool.signal(signal.SIGTERM)
    assert pool.wait() == 0
    assert list(path.parent.iterdir()) == []


def test_a_dead_pools_socket_is_removed_and_a_living_ones_kept(start_pool: StartPool, url: str, runtime: Path) -> None:
    dead, living = start_pool(url), start_pool(url)
    for pool in (dead, living):
        wait_for_status(socket_of(pool, runtime), is_working)
    dead.kill_group()
    assert socket_of(dead, runtime).exists()

    third = start_pool(url)
    wait_for_status(socket_of(third, runtime), is_working)

    assert not socket_of(dead, runtime).exists()
    assert ask(socket_of(living, runtime), CHECK) == "ok"


def test_no_child_holds_the_sockets(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url, args=["--health-port", "0"])
    path = socket_of(pool, runtime)
    wait_for_status(path, is_working)
    with socket.socket(socket.AF_UNIX) as client:  # a connection that is open while a worker is forked
        client.connect(str(path))
        os.kill(pool.worker_pids()[0], signal.SIGKILL)
        wait_for_status(path, lambda status: status["deaths"] == 1 and is_working(status))

        pool.signal(signal.SIGKILL)
        pool.wait()
        client.settimeout(5.0)
        assert client.recv(1) == b"", "the connection ended with its supervisor although a worker is alive"
    assert not control_socket.is_open(path)


def test_a_named_socket(start_pool: StartPool, url: str, runtime: Path) -> None:
    path = runtime / "my.sock"
    pool = start_pool(url, args=["--control", str(path)])
    wait_for_status(path, is_working)

    second = start_pool(url, args=["--control", str(path)])

    assert second.wait() == 2
    assert second.log() == f"bizzmq-worker: another pool answers on {path}\n"
    assert status_of(path)["pid"] == pool.supervisor_pid


def test_off_opens_nothing(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url, args=["--control", "off"])
    pool.wait_ready()

    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: path.write_text("here first"), "is not a directory"),
        (lambda path: path.mkdir(mode=0o755) or path.chmod(0o755), "is open to others"),
        (lambda path: path.symlink_to(path.parent), "is not a directory"),
        (lambda path: path.mkdir(mode=0o500), "cannot be written to"),
    ],
)
def test_an_unusable_directory_is_one_line_and_nothing_is_started(
    start_pool: StartPool, url: str, redis: Any, runtime: Path, spoil: Any, complaint: str
) -> None:
    spoil(runtime / "bizzmq")
    give_to_unprivileged(runtime, (runtime / "bizzmq").resolve())

    pool = start_pool(url, via=as_unprivileged())

    assert pool.wait() == 2
    assert complaint in pool.log()
    assert "--control off" in pool.log()
    assert pool.log().count("\n") == 1
    assert redis.keys("*") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a directory")
def test_a_directory_of_another_user_is_refused(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    directory = runtime / "bizzmq"
    directory.mkdir(mode=0o700)
    with control_socket.bind(directory / "pool-1.sock"):
        assert directory / "pool-1.sock" in control_socket.open_sockets()
        os.chown(directory, 65534, 65534)

        with pytest.raises(ConfigurationError, match="belongs to another user"):
            control_socket.own_path()
        assert directory / "pool-1.sock" not in control_socket.open_sockets()


def test_a_path_that_cannot_be_a_socket_is_refused(runtime: Path) -> None:
    (runtime / "file").write_text("")

    with pytest.raises(ConfigurationError, match="is not a socket"):
        ControlSocket(str(runtime / "file"))
    with pytest.raises(ConfigurationError, match="there is no directory"):
        ControlSocket(str(runtime / "missing" / "x.sock"))
    with pytest.raises(ConfigurationError, match="too long"):
        ControlSocket(str(runtime / ("x" * 100)))
    assert [path.name for path in runtime.iterdir()] == ["file"]


def test_a_socket_is_removed_only_by_the_pool_that_owns_it(runtime: Path) -> None:
    path = runtime / "one.sock"
    first = ControlSocket(str(path))
    first.listener.close()
    second = ControlSocket(str(path))

    first.close()

    assert find(str(path)).exists()
    second.close()
    assert list(runtime.iterdir()) == []


# --- no client blocks the loop ----------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def responder(runtime: Path, clock: Clock) -> Any:
    listener = control_socket.bind(runtime / "s.sock")
    responder = RequestServer(listener, answer_with({"hello": lambda: "x" * 3_000_000, "hi": lambda: "ho"}), clock)
    yield responder
    responder.close()


@pytest.fixture
def connect(runtime: Path, responder: RequestServer) -> Any:
    clients: list[socket.socket] = []

    def connect() -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(runtime / "s.sock"))
        client.settimeout(0.0)
        clients.append(client)
        responder.serve()
        return client

    yield connect
    for client in clients:
        client.close()


def is_dropped(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_silent_client_is_dropped(responder: RequestServer, clock: Clock, connect: Any) -> None:
    client = connect()
    assert responder.next_due_s() == TIMEOUT_S
    assert not is_dropped(client)

    clock.now_s = TIMEOUT_S
    responder.serve()

    assert is_dropped(client)
    assert responder.next_due_s() == float("inf")


def test_a_client_that_does_not_read_is_dropped(responder: RequestServer, clock: Clock, connect: Any) -> None:
    client = connect()
    client.sendall(b"hello\n")
    responder.serve()
    assert len(responder.descriptors()) == 2, "the reply does not fit the socket's buffer"

    clock.now_s = TIMEOUT_S
    responder.serve()

    assert len(responder.descriptors()) == 1


def test_a_client_that_reads_slowly_gets_everything(responder: RequestServer, connect: Any) -> None:
    client = connect()
    client.sendall(b"hello\n")
    received = b""

    def got_all() -> bool:
        nonlocal received
        responder.serve()
        try:
            received += client.recv(65536)
        except BlockingIOError:
            return False
        return received.endswith(b"\n")

    eventually(got_all)
    assert len(received) == 3_000_001


def test_a_new_client_replaces_the_oldest_at_the_limit(responder: RequestServer, connect: Any) -> None:
    clients = [connect() for _ in range(MAX_CLIENTS)]
    assert not any(map(is_dropped, clients))

    newest = connect()
    newest.sendall(b"hi\n")
    responder.serve()

    assert newest.recv(100) == b"ho\n"
    assert [is_dropped(client) for client in clients] == [True] + [False] * (MAX_CLIENTS - 1)


def test_a_client_with_a_too_long_request_is_dropped(responder: RequestServer, connect: Any) -> None:
    client = connect()
    client.sendall(b"x" * MAX_REQUEST_BYTES)
    responder.serve()

    assert is_dropped(client)


@pytest.mark.parametrize("request_line", [b"\xff\x00\n", b"rm -rf\n", b"\n", b"STATUS\n"])
def test_an_invalid_request_gets_an_error_message(responder: RequestServer, connect: Any, request_line: bytes) -> None:
    client = connect()
    client.sendall(request_line)
    responder.serve()

    assert client.recv(100) == b"error: say status, check or ready\n"


def test_a_pool_continues_with_misbehaving_clients(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url)
    path = socket_of(pool, runtime)
    wait_for_status(path, is_working)
    idle_clients = []
    for _ in range(2 * MAX_CLIENTS):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        idle_clients.append(client)
    before_s = psutil.Process(pool.supervisor_pid).cpu_times().user

    publish(url, *[{}] * 50)

    status = wait_for_status(path, lambda now: now["handled"] == 50)
    assert status["deaths"] == 0
    for client in idle_clients:
        client.settimeout(2 * TIMEOUT_S)
        assert client.recv(1) == b"", "dropped in time"
        client.close()
    assert psutil.Process(pool.supervisor_pid).cpu_times().user - before_s < 2.0, "the loop does not spin"


# --- a path taken by another user -------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a directory")
@pytest.mark.parametrize("how", ["another user's", "a link"])
def test_a_pool_whose_default_directory_is_taken_uses_another_one(
    start_pool: StartPool, url: str, runtime: Path, environment: dict[str, str], how: str
) -> None:
    usual = runtime / f"bizzmq-{os.geteuid()}"
    environment["XDG_RUNTIME_DIR"] = ""
    squatted = runtime / "elsewhere" if how == "a link" else usual
    squatted.mkdir(mode=0o700)
    os.chown(squatted, 65534, 65534)
    if how == "a link":
        usual.symlink_to(squatted)
    pool = start_pool(url)
    pool.wait_ready()

    (spare,) = runtime.glob(f"{usual.name}-*")
    assert stat.S_IMODE(spare.stat().st_mode) == 0o700
    assert pool.log().count("the usual directory of control sockets is not ours, another one is used") == 1
    asked = run("bizzmq", "pool", env=environment)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert f"pool {pool.supervisor_pid}," in asked.stdout
    assert list(squatted.iterdir()) == []


def test_the_other_directory_is_reused_only_if_it_is_ours(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(runtime))
    usual = runtime / f"bizzmq-{os.geteuid()}"
    usual.write_text("in the way")
    (runtime / f"{usual.name}-open").mkdir()
    (runtime / f"{usual.name}-open").chmod(0o755)
    (runtime / f"{usual.name}-link").symlink_to(runtime)

    first, second = control_socket.own_path(), control_socket.own_path()

    assert first == second
    assert first.parent.name.startswith(f"{usual.name}-")
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert first.parent.name not in (f"{usual.name}-open", f"{usual.name}-link")
