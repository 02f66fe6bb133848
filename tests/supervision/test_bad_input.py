"""Invalid limits, sockets and scaling: one clear line and exit code 2, and nothing is started."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Iterator

import pytest
from redis import Redis

from bizzmq.testing.ports import LOOPBACK, free_port
from tests.pool.command import WORKER, refused, run
from tests.support.unprivileged import as_unprivileged, give_to_unprivileged

HANDLER = "tests.handlers:noop"
NEGATIVE = [
    "concurrency", "min-concurrency", "scale-latency", "scale-idle", "drain-timeout", "max-messages", "max-crashes",
    "prefetch", "lease", "timeout", "timeout-grace", "cpu-limit", "max-memory", "kill-memory", "health-port",
]  # fmt: skip
ENDLESS = [
    "scale-latency", "scale-idle", "drain-timeout", "lease", "timeout", "timeout-grace", "cpu-limit", "max-memory",
    "kill-memory",
]  # fmt: skip


@pytest.fixture
def refusal(redis: Redis, url: str, environment: dict[str, str], runtime: Path) -> Iterator[type[Refusal]]:
    """refusal("--option", VARIABLE="value").line: the error; checks that Redis is empty and no socket is left."""
    Refusal.env = {**environment, "BIZZMQ_REDIS_URL": url}
    yield Refusal
    assert redis.keys("*") == []
    assert not list(runtime.rglob("*.sock*"))


class Refusal:
    """A start of `bizzmq-worker` that is refused; `refused` checks code, stdout, and that no process is left."""

    env: dict[str, Any]

    def __init__(self, *arguments: str, **env: Any) -> None:
        self.line = refused(WORKER, HANDLER, *arguments, **{**self.env, **env})


@pytest.mark.usually(5)
@pytest.mark.parametrize("option", NEGATIVE)
def test_negative_numbers(refusal: type[Refusal], option: str) -> None:
    assert f"--{option}" in refusal(f"--{option}=-1").line


@pytest.mark.usually(6)
@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("option", ENDLESS)
def test_infinite_and_nan_numbers(refusal: type[Refusal], option: str, value: str) -> None:
    line = refusal(f"--{option}={value}").line

    assert option.replace("-", "_") in line.replace("-", "_")


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--max-memory=500", "--kill-memory=400"], "--kill-memory must be more than --max-memory"),
        (["--max-memory=500", "--kill-memory=500"], "--kill-memory must be more than --max-memory"),
        (["--min-concurrency=3", "--concurrency=2"], "--min-concurrency must not be more than concurrency, which is 2"),
        (["--min-concurrency=100000"], "--min-concurrency must not be more than concurrency"),
        (["--memory-metric=uss"], "uss"),
        (["--preload=maybe"], "maybe"),
        (["--timeout=soon"], "soon"),
        (["--health-port=70000"], "70000"),
        (["--control="], "control must be off, auto or a path"),
        (["--check=sometimes"], "sometimes"),
    ],
)
def test_contradictory_limits_and_unknown_words(refusal: type[Refusal], arguments: list[str], reported: str) -> None:
    assert reported in refusal(*arguments).line


@pytest.mark.parametrize(
    ("variable", "value"), [("KILL_MEMORY", "-5"), ("MIN_CONCURRENCY", "none"), ("CONTROL", "/no/such/directory/s")]
)
def test_the_same_in_the_environment(refusal: type[Refusal], variable: str, value: str) -> None:
    assert value.rsplit("/", 1)[0] in refusal(**{f"BIZZMQ_WORKER_{variable}": value}).line


def test_a_socket_directory_that_cannot_be_created(refusal: type[Refusal], tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    line = refusal(XDG_RUNTIME_DIR=str(tmp_path / "file")).line

    assert str(tmp_path / "file" / "bizzmq") in line
    assert "cannot be created: Not a directory" in line
    assert "--control off" in line, "it says what to do"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_a_socket_directory_that_is_open_to_others(refusal: type[Refusal], runtime: Path, mode: int) -> None:
    (runtime / "bizzmq").mkdir()
    (runtime / "bizzmq").chmod(mode)

    assert "is open to others: chmod 700 it" in refusal().line


def test_a_socket_directory_that_is_a_file(refusal: type[Refusal], runtime: Path) -> None:
    (runtime / "bizzmq").touch()

    assert "is not a directory" in refusal().line


@pytest.mark.skipif(os.geteuid() != 0, reason="needs permission to change the owner of a directory")
def test_a_socket_directory_of_another_user(refusal: type[Refusal], runtime: Path) -> None:
    (runtime / "bizzmq").mkdir(mode=0o700)
    os.chown(runtime / "bizzmq", 65534, 65534)

    assert "belongs to another user" in refusal().line


def test_a_socket_directory_that_cannot_be_written_to(refusal: type[Refusal], runtime: Path) -> None:
    (runtime / "bizzmq").mkdir(mode=0o500)
    give_to_unprivileged(runtime, runtime / "bizzmq")

    assert "cannot be written to" in refusal(via=as_unprivileged()).line


def test_a_journal_directory_that_cannot_be_written_to_or_created(refusal: type[Refusal], runtime: Path) -> None:
    journal, below = runtime / "journal", runtime / "journal" / "below"
    journal.mkdir(mode=0o500)
    give_to_unprivileged(runtime, journal)

    assert "cannot be written to" in refusal(f"--journal={journal}", via=as_unprivileged()).line
    assert "cannot be used: Permission denied" in refusal(f"--journal={below}", via=as_unprivileged()).line


def test_invalid_socket_paths(refusal: type[Refusal], tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "cannot be used: Not a directory" in refusal(f"--control={tmp_path}/file/pool").line
    assert "there is no directory" in refusal(f"--control={tmp_path}/none/pool").line
    assert "exists and is not a socket" in refusal(f"--control={tmp_path}/file").line
    assert "exists and is not a socket" in refusal(f"--control={tmp_path}").line
    assert "path is too long" in refusal(f"--control={tmp_path}/{'n' * 100}").line
    assert (tmp_path / "file").exists()


def test_a_journal_directory_that_cannot_be_used(refusal: type[Refusal], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir(mode=0o755)

    assert "is not a directory" in refusal(f"--journal={tmp_path}/file").line
    assert "cannot be used: Not a directory" in refusal(f"--journal={tmp_path}/file/below").line
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is a broken link" in refusal(f"--journal={tmp_path}/link").line
    line = refusal(BIZZMQ_WORKER_JOURNAL=f"{tmp_path}/open").line
    assert f"{tmp_path}/open" in line
    assert "is open to others: chmod 700 it" in line


@pytest.mark.parametrize(
    ("host", "reported"),
    [
        ("nonsense", "nonsense"),
        ("256.0.0.1", "256.0.0.1"),
        ("", "health"),
        ("0.0.0.0", "BIZZMQ_WORKER_HEALTH_TOKEN"),
        ("::", "BIZZMQ_WORKER_HEALTH_TOKEN"),
        ("192.0.2.1", "BIZZMQ_WORKER_HEALTH_TOKEN"),
    ],
)
def test_a_bad_health_host(refusal: type[Refusal], host: str, reported: str) -> None:
    assert reported in refusal("--health-port=0", f"--health-host={host}").line


def test_a_health_host_that_is_not_this_machine(refusal: type[Refusal]) -> None:
    env = {"BIZZMQ_WORKER_HEALTH_TOKEN": "SECRET"}

    line = refusal("--health-port=0", "--health-host=192.0.2.1", **env).line

    assert "192.0.2.1" in line
    assert "SECRET" not in line


def test_a_health_port_that_is_taken(refusal: type[Refusal]) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, free_port()))
        other.listen()
        port = other.getsockname()[1]

        assert str(port) in refusal(f"--health-port={port}").line


@pytest.mark.parametrize("option", ["--max-memory", "--kill-memory"])
def test_a_memory_limit_below_what_the_imported_code_needs(
    redis: Redis, url: str, environment: dict[str, Any], option: str
) -> None:
    ended = run(WORKER, HANDLER, f"{option}=1", **environment, BIZZMQ_REDIS_URL=url)

    assert ended.code == 2, ended
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"bizzmq-worker: {option} is 1, but")
    assert "worker started" not in ended.err, "it is known only after the import, but before any worker"
    assert redis.keys("*") == []
