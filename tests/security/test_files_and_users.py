"""Files, listening sockets and users of a pool and of an embedded server."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import psutil
import pytest

from bizzmq import BizzMQ
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers import cli
from tests.faults.scene import PATIENCE_S
from tests.pool.command import OPERATOR, WORKER, refused, run
from tests.supervision.pool_status import socket_of
from tests.supervision.test_pid1 import can_unshare
from tests.support.paths import ROOT
from tests.support.unprivileged import as_unprivileged, give_to_unprivileged

WARNING = "running as root"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def careless() -> Iterator[None]:
    """A umask that grants everything to every user."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(directory: Path) -> list[str]:
    """The paths that another user could enter, read or write, including the directory itself."""
    found = [directory, *directory.rglob("*")]
    return [f"{path} {stat.filemode(path.lstat().st_mode)}" for path in found if path.lstat().st_mode & 0o077]


def listening(processes: list[psutil.Process]) -> list[Any]:
    """The TCP and UDP addresses on which these processes listen."""
    found: list[Any] = []
    for process in processes:
        connections: Any = getattr(process, "net_connections", None) or process.connections
        with contextlib.suppress(psutil.NoSuchProcess):  # the process that forked a worker has exited meanwhile
            found += [one.laddr for one in connections(kind="inet") if one.status in ("LISTEN", "NONE")]
    return found


def test_files_of_a_pool_are_private_to_its_user(
    careless: None, start_pool: Callable[..., Pool], url: str, runtime: Path, tmp_path: Path
) -> None:
    pool = start_pool(url)
    pool.wait_ready()

    assert stat.S_ISSOCK(socket_of(pool, runtime).lstat().st_mode)
    assert open_to_others(runtime / "bizzmq") == []
    written = set()
    for process in pool.living():
        with contextlib.suppress(psutil.NoSuchProcess):
            written |= {file.path for file in process.open_files() if file.mode != "r"}
    assert {path for path in written if not path.startswith("/memfd:")} <= {str(pool.log_path)} | set(
        map(str, (tmp_path / "ledger").rglob("*"))
    )


def test_a_pool_listens_only_if_configured(start_pool: Callable[..., Pool], url: str) -> None:
    silent = start_pool(url)
    silent.wait_ready()
    asked = start_pool(url, args=["--health-port=0"])
    asked.wait_ready()
    assert "health port open" in asked.log()

    assert listening(silent.living()) == []
    assert {address.ip for address in listening(asked.living())} == {"127.0.0.1"}
    assert "TOKEN" in refused(WORKER, f"--redis-url={url}", "--health-port=0", "--health-host=0.0.0.0", "tasks:handler")


def test_an_embedded_server_is_private_to_its_user_and_has_no_port(careless: None) -> None:
    directory = Path(tempfile.mkdtemp(prefix="bizzmq-test-")) / "server"
    try:
        with BizzMQ(f"embedded://{directory}") as mq:
            mq.create_queue("q")
            mq.publish_message_to_queue("q", 1)
            family = [one for one in psutil.process_iter(["cmdline"]) if str(directory) in str(one.info["cmdline"])]
            assert open_to_others(directory) == []
            assert family
            assert listening(family) == []
    finally:
        shutil.rmtree(str(directory.parent), ignore_errors=True)


@as_root
def test_a_pool_of_root_is_warned_about_once(start_pool: Callable[..., Pool], url: str) -> None:
    pool = start_pool(url, args=["--burst"])

    assert pool.wait(PATIENCE_S) == 0
    assert [line for line in pool.log().splitlines() if WARNING in line and " WARNING " in line]
    assert pool.log().count(WARNING) == 1


def test_a_pool_of_an_unprivileged_user_causes_no_warning(
    start_pool: Callable[..., Pool], url: str, runtime: Path
) -> None:
    give_to_unprivileged(runtime)
    pool = start_pool(url, via=as_unprivileged(), args=["--burst"], handler="tests.handlers:noop")

    assert pool.wait(PATIENCE_S) == 0
    assert "pool ended" in pool.log()
    assert WARNING not in pool.log()


@as_root
def test_a_command_that_starts_no_pool_does_not_warn(url: str, environment: Any) -> None:
    assert WARNING not in refused(WORKER, f"--redis-url={url}", "no handler")
    assert WARNING not in run(WORKER, "--check", **environment).err
    assert WARNING not in run(OPERATOR, f"--redis-url={url}", "queues").err


@pytest.mark.skipif(not can_unshare() or os.geteuid() != 0, reason="needs root and unshare")
def test_process_1_does_not_warn(url: str, environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bizzmq.workers", f"--redis-url={url}", "--burst", "tests.handlers:noop"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", *command],
            cwd=str(ROOT), env={**os.environ, **environment}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            process.wait()

    assert "pool ended" in (tmp_path / "log").read_text()
    assert WARNING not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("user", "pid", "warnings"), [(0, 4711, 1), (1000, 4711, 0), (0, 1, 0), (1000, 1, 0)])
def test_the_warning_depends_on_user_and_pid(
    caplog: pytest.LogCaptureFixture, user: int, pid: int, warnings: int
) -> None:
    with caplog.at_level(logging.WARNING):
        cli._warn_of_root(user, pid)

    assert len(caplog.records) == warnings


def test_a_pool_answers_no_more_than_status(start_pool: Callable[..., Pool], url: str, runtime: Path) -> None:
    pool = start_pool(url)
    pool.wait_ready()
    before = pool.worker_pids()

    for reported in (b"stop\n", b"shutdown\n", b"status; stop\n", b"CONFIG SET x y\n", b"\n", b"\xff\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(socket_of(pool, runtime)))
            client.sendall(reported)
            assert client.recv(1000) == b"error: say status, check, ready or idle\n"

    eventually(lambda: pool.worker_pids() == before, PATIENCE_S)
