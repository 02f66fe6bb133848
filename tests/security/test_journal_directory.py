"""A journal directory with foreign files: none of them is ever removed, and no pool starts there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Callable

import pytest

from bizzmq import ConfigurationError
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.protocol.ids import supervisor_id, worker_id
from bizzmq.workers.journal.file_format import journal_name, unfinished_name
from bizzmq.workers.journal.recovery import JournalRecovery
from bizzmq.workers.journal.writer import prepare_directory
from tests.pool.command import WORKER, refused
from tests.support.unprivileged import NOBODY

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)
SKIPPED = "files in the journal directory were skipped"
FOREIGN = [
    ".bashrc", ".profile", ".netrc", "..data", ".notes.txt.swp", ".DS_Store", "README", "x.journal",
    ".x.journal.unfinished", ".probe-", ".probe-x", "server.log",
]  # fmt: skip


def old(path: Path) -> Path:
    """Set the time of a file to an hour ago."""
    os.utime(path, (time.time() - 3600,) * 2, follow_symlinks=False)
    return path


def contents(directory: Path) -> dict[str, tuple[int, int, float]]:
    return {path.name: (s.st_mode, s.st_ino, s.st_mtime) for path in directory.iterdir() for s in [path.lstat()]}


@pytest.fixture
def look(directory: Path, url: str) -> Callable[[], None]:
    """Let a janitor check the directory once."""
    recovery = JournalRecovery(str(directory), Broker(connect(url)), "h", ["q"], set, interval_s=0.0, budget_s=10.0)
    return recovery.tick


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "journal"
    directory.mkdir(mode=0o700)
    return directory


@pytest.mark.parametrize("name", FOREIGN)
def test_a_directory_with_a_foreign_file_is_refused_and_unchanged(name: str, directory: Path) -> None:
    (directory / name).write_text("mine")
    old(directory / name)
    before = contents(directory)

    with pytest.raises(ConfigurationError, match="name a directory of its own") as refusal:
        prepare_directory(str(directory))

    assert repr(name) in str(refusal.value)
    assert contents(directory) == before


def test_a_home_directory_as_journal_directory_is_refused_with_one_line(directory: Path, url: str) -> None:
    old(_write(directory / ".bashrc"))

    assert "'.bashrc'" in refused(WORKER, f"--redis-url={url}", f"--journal={directory}", "tests.handlers:noop")
    assert (directory / ".bashrc").exists()


def test_a_foreign_file_that_appears_later_is_kept_and_logged_once(
    directory: Path, look: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    own = old(_write(directory / unfinished_name(journal_name(worker_id(supervisor_id(), 0)))))
    for name in (".bashrc", ".netrc", "README"):
        old(_write(directory / name))
    before = contents(directory)

    look()
    look()

    before.pop(own.name)
    assert contents(directory) == before
    assert caplog.text.count(SKIPPED) == 1
    _write(directory / "later")
    look()
    assert caplog.text.count(SKIPPED) == 2


@pytest.mark.parametrize(
    "unlike", ["open to others", "hard link", "link", "fifo", "directory", "young", "locked", "another user's"]
)
def test_a_file_with_only_the_name_of_an_unfinished_journal_is_kept(
    unlike: str, directory: Path, look: Callable[[], None], tmp_path: Path
) -> None:
    path = directory / unfinished_name(journal_name(worker_id(supervisor_id(), 0)))
    holder = _make_unlike(path, unlike, tmp_path)
    try:
        look()

        assert [each.name for each in directory.iterdir()] == [path.name]
    finally:
        if holder is not None:
            holder.communicate(b"\n")


def _make_unlike(path: Path, unlike: str, tmp_path: Path) -> subprocess.Popen[bytes] | None:
    if unlike == "link":
        path.symlink_to(_write(tmp_path / "target"))
    elif unlike == "fifo":
        os.mkfifo(path, 0o600)
    elif unlike == "directory":
        path.mkdir(mode=0o700)
    else:
        _write(path)
    if unlike == "hard link":
        os.link(path, tmp_path / "other")
    if unlike == "open to others":
        path.chmod(0o644)
    if unlike == "another user's":
        if os.geteuid() != 0:
            pytest.skip("only root can change the owner of a file")
        os.chown(path, NOBODY, NOBODY)
    if unlike != "young":
        old(path)
    return _hold(path) if unlike == "locked" else None


def _hold(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that locks the file until it reads a line."""
    holder = subprocess.Popen([sys.executable, "-S", "-c", HOLD, str(path)], stdin=PIPE, stdout=PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_files_that_belong_to_the_file_system_are_accepted(directory: Path) -> None:
    (directory / "lost+found").mkdir()
    (directory / ".nfs000000000001").touch()

    assert prepare_directory(str(directory)) == str(directory)
    assert len(list(directory.iterdir())) == 2


def test_file_names_of_earlier_versions_are_accepted(directory: Path) -> None:
    for name in ("h:boot:1:F_0.a.journal", ".h:boot:1:F_0.a.journal.unfinished", ".probe-4711"):
        _write(directory / name)

    assert prepare_directory(str(directory)) == str(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a link")
def test_a_link_of_another_user_in_the_path_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    os.lchown(tmp_path / "link", NOBODY, NOBODY)

    with pytest.raises(ConfigurationError, match="is another user's link"):
        prepare_directory(str(tmp_path / "link" / "journal"))

    assert not list((tmp_path / "there").iterdir())


def _write(path: Path) -> Path:
    path.write_text("")
    path.chmod(0o600)
    return path
