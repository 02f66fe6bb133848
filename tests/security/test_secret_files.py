"""The server's address with its password, from a private file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import ConfigurationError
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from bizzmq.utils import secret_files
from tests.faults.scene import PATIENCE_S, Scene
from tests.pool.command import OPERATOR, WORKER, refused, run

CANARY = "canary-4d0b77"
OwnScene = Callable[..., "tuple[RedisServer, Scene]"]


def secret(path: Path, text: str = f"redis://:{CANARY}@127.0.0.1:1/0\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_both_commands_read_the_address_from_a_file(own_scene: OwnScene, tmp_path: Path) -> None:
    server, scene = own_scene(password=CANARY)
    file = secret(tmp_path / "url", f"{server.url}\n", mode=0o640)
    (published,) = run(OPERATOR, "publish", "q", "{}", BIZZMQ_REDIS_URL_FILE=str(file)).lines()
    run(WORKER, "--queue=q", "--burst", "tests.handlers:noop", BIZZMQ_REDIS_URL_FILE=str(file)).lines()

    eventually(lambda: scene.mq.stats("q").acked == 1, PATIENCE_S)
    assert published


def test_variables_of_bizzmq_override_general_ones(url: str, tmp_path: Path) -> None:
    away = "redis://127.0.0.1:1/0"
    file = str(secret(tmp_path / "url", url))

    assert run(OPERATOR, "queues", BIZZMQ_REDIS_URL_FILE=file, REDIS_URL=away).code == 0
    assert run(OPERATOR, "queues", BIZZMQ_REDIS_URL=url, BIZZMQ_REDIS_URL_FILE="/nowhere").code == 0
    assert run(OPERATOR, f"--redis-url={url}", "queues", BIZZMQ_REDIS_URL_FILE="/nowhere").code == 0
    assert run(OPERATOR, "queues", REDIS_URL=url).code == 0


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o601, 0o622])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigurationError, match="open to others") as raised:
        secret_files.read_secret(secret(tmp_path / "url", mode=mode))

    assert CANARY not in str(raised.value)


def test_the_commands_report_that_in_one_line(tmp_path: Path) -> None:
    file = secret(tmp_path / "url", mode=0o644)

    lines = [
        refused(OPERATOR, "queues", BIZZMQ_REDIS_URL_FILE=str(file)),
        refused(WORKER, "tests.handlers:ok", BIZZMQ_REDIS_URL_FILE=str(file)),
    ]

    assert all("holds a secret but is open to others: chmod 600 it" in line for line in lines), lines
    assert all(CANARY not in line for line in lines)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_file_for_its_owner_and_group_is_read(tmp_path: Path, mode: int) -> None:
    assert secret_files.read_secret(secret(tmp_path / "url", " text\n", mode)) == "text"


def test_a_path_that_is_not_a_readable_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "fifo"), 0o600)
    (tmp_path / "directory").mkdir(0o700)
    secret(tmp_path / "empty", " \n")
    secret(tmp_path / "large", "x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)

    for name, complaint in {
        "missing": "No such file", "fifo": "not a regular file", "directory": "not a regular file",
        "empty": "is empty", "large": "too large", "binary": "is not UTF-8 text", "a\0b": "cannot be read",
    }.items():  # fmt: skip
        with pytest.raises(ConfigurationError, match=complaint):
            secret_files.read_secret(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = secret(tmp_path / "url")
    os.chown(str(file), 65534, -1)

    with pytest.raises(ConfigurationError, match="belongs to another user"):
        secret_files.read_secret(file)


def test_a_symbolic_link_counts_as_its_target(tmp_path: Path) -> None:
    secret(tmp_path / "url", "text")
    (tmp_path / "link").symlink_to("url")

    assert secret_files.read_secret(tmp_path / "link") == "text"
