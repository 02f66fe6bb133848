"""The directory of an embedded server: private, with explicit modes, and no link in it is followed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

import pytest

from bizzmq import BizzMQ
from bizzmq.embedded import paths
from bizzmq.embedded import server as embedded
from bizzmq.errors import BizzMQError, ConfigurationError
from tests.embedded.users import end_everything_on, processes_on
from tests.support.paths import ROOT
from tests.support.unprivileged import NOBODY

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of files")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory for one server; nothing runs on it afterwards."""
    yield tmp_path / "server"
    end_everything_on(tmp_path / "server")


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


def use(directory: Path) -> None:
    with BizzMQ(f"embedded://{directory}") as mq:
        mq.create_queue("q")


def refused(directory: Path) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        embedded.join(f"embedded://{directory}").close()
    return str(refusal.value)


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_directories_and_files_have_their_modes_under_any_umask(
    mask: int, umask: Callable[[int], int], tmp_path: Path
) -> None:
    directory = tmp_path / "parent" / "server"
    umask(mask)
    try:
        use(directory)
        assert stat.S_IMODE((tmp_path / "parent").stat().st_mode) == 0o700
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        for name in ("users.lock", "start.lock", "keeper.lock", "server.lock", "server.log"):
            assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    finally:
        umask(0o022)
        end_everything_on(directory)


def test_a_link_is_refused_and_its_target_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / "theirs" / "server.log").write_bytes(b"x" * 2_000_000)
    (tmp_path / "link").symlink_to(tmp_path / "theirs")

    assert "is not a directory but a link" in refused(tmp_path / "link")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["server.log"]
    assert (tmp_path / "theirs" / "server.log").stat().st_size == 2_000_000


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711, 0o777])
def test_a_directory_that_is_open_to_others_is_refused(mode: int, directory: Path) -> None:
    directory.mkdir()
    directory.chmod(mode)

    assert "chmod 700 it" in refused(directory)
    assert not list(directory.iterdir())


def test_a_directory_with_other_files_is_refused_and_unchanged(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "thesis.tex").write_text("")

    assert "such as 'thesis.tex': name an empty directory" in refused(directory)
    assert [path.name for path in directory.iterdir()] == ["thesis.tex"]


@as_root
def test_another_users_directory_is_refused(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)

    assert "belongs to another user" in refused(directory)


def test_owner_and_mode_are_checked_at_each_join(directory: Path) -> None:
    use(directory)
    directory.chmod(0o755)

    assert "chmod 700 it" in refused(directory)


@pytest.mark.parametrize("name", ["users.lock", "start.lock", "keeper.lock", "server.log"])
@pytest.mark.parametrize("how", ["link", "hard link", "fifo", "directory", "another user's"])
def test_a_file_in_the_way_is_neither_followed_nor_changed(
    name: str, how: str, directory: Path, tmp_path: Path
) -> None:
    directory.mkdir(mode=0o700)
    (directory / "users.lock").touch(mode=0o600)
    path, target = directory / name, tmp_path / "target"
    target.write_bytes(b"x" * 2_000_000)
    target.chmod(0o600)
    if path.exists():
        path.unlink()
    if how == "link":
        path.symlink_to(target)
    elif how == "hard link":
        os.link(target, path)
    elif how == "fifo":
        os.mkfifo(path, 0o600)
    elif how == "directory":
        path.mkdir(mode=0o700)
    else:
        if os.geteuid() != 0:
            pytest.skip("only root can change the owner of a file")
        path.touch(mode=0o600)
        os.chown(path, NOBODY, NOBODY)

    with pytest.raises(BizzMQError):
        embedded.join(f"embedded://{directory}").close()

    assert target.read_bytes() == b"x" * 2_000_000


def test_a_socket_at_another_path_is_found_by_all_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = tmp_path / "bizzmq-4711"
    usual.symlink_to("/nowhere")
    own = tmp_path / "own"
    own.mkdir(mode=0o700)

    first = paths._agreed_directory(own, usual)
    usual.unlink()

    assert first.name.startswith("bizzmq-4711-")
    assert paths._agreed_directory(own, usual) == first
    first.symlink_to("/nowhere")
    second = paths._agreed_directory(own, usual)
    assert second not in (first, usual)
    assert paths._agreed_directory(own, usual) == second


def test_a_keeper_inherits_no_secret(directory: Path) -> None:
    script = f"from bizzmq.embedded import server; s = server.join('embedded://{directory}'); print(1); input()"
    settings = {"BIZZMQ_REDIS_URL": "redis://:canary@h", "BIZZMQ_SIGNING_KEYS": "canary"}
    user = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, **settings}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert user.stdout is not None
    assert user.stdout.readline() == b"1\n"
    try:
        family = processes_on(directory)
        assert family
        assert all("canary" not in str(process.environ()) for process in family)
    finally:
        user.communicate(b"\n")


def test_a_removed_working_directory_affects_neither_server_nor_clients(directory: Path, tmp_path: Path) -> None:
    """A keeper has the working directory of its first user, for example that of a release or a test."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        "import os, sys, time\n"
        "from bizzmq import BizzMQ\n"
        f"url = 'embedded://{directory}'\n"
        "with BizzMQ(url) as mq:\n"
        "    mq.create_queue('q')\n"
        f"    os.rmdir({str(gone)!r})\n"
        "    for _ in range(5):\n"
        "        time.sleep(0.5)\n"  # the keeper checks repeatedly for users
        "        with BizzMQ(url) as other:\n"
        "            other.publish_message_to_queue('q', 1)\n"
        "    print(mq.stats('q').waiting)\n"
    )
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=gone, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
