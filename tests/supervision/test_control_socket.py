"""The control socket: its path, whose it is, and clients that misbehave."""

from __future__ import annotations

import os
import signal
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from bizzmq.errors import ConfigurationError
from bizzmq.testing.pool import Pool
from bizzmq.workers.control import control_socket
from bizzmq.workers.control.client import ask, find
from bizzmq.workers.control.control_socket import CHECK, ControlSocket
from bizzmq.workers.control.request_server import MAX_CLIENTS, TIMEOUT_S
from tests.supervision.pool_status import is_working, publish, run, socket_of, status_of, wait_for_status
from tests.support.unprivileged import as_unprivileged, give_to_unprivileged

StartPool = Callable[..., Pool]


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


# --- clients that misbehave -------------------------------------------------------------------------------------


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
