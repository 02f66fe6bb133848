"""A worker's journal in a directory with problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from bizzmq import ConfigurationError
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.protocol.ids import supervisor_id, worker_id
from bizzmq.workers.journal.file_format import decode, journal_name
from bizzmq.workers.journal.writer import WorkerJournal, prepare_directory

WORKER = worker_id(supervisor_id(), 0)
PENDING = DeadWorker(DeathKind.STOPPED, last_finished="m1")


def _open_descriptors() -> set[str]:
    return {path.name for path in Path("/dev/fd").iterdir()}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(prepare_directory(str(tmp_path / "journal")))


@pytest.mark.parametrize("fault", ["in the way", "not its own", "gone"])
def test_a_journal_that_cannot_be_written_keeps_no_descriptor_open_and_is_written_later(
    directory: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    journal, path = WorkerJournal(str(directory), WORKER, "h"), directory / journal_name(WORKER)
    obstacle = {"in the way": path, "not its own": path.with_name(f".{path.name}.unfinished"), "gone": None}[fault]
    if obstacle is None:
        directory.rmdir()
    else:
        (obstacle / "full").mkdir(parents=True)
    before = _open_descriptors()

    for number in range(5):
        journal.keep("q", DeadWorker(DeathKind.STOPPED, last_finished=f"m{number}"))
    assert _open_descriptors() <= before
    assert caplog.text.count("the journal cannot be written") == 1

    if obstacle is None:
        directory.mkdir(mode=0o700)
    else:
        (obstacle / "full").rmdir()
        obstacle.rmdir()
    journal.keep("q", PENDING)
    assert decode(path.read_bytes()).settlements == {"q": PENDING}
    journal.clear("q")
    assert not list(directory.iterdir())
    assert _open_descriptors() <= before


def test_a_link_in_place_of_a_journal_is_replaced_and_not_followed(directory: Path, tmp_path: Path) -> None:
    path = directory / journal_name(WORKER)
    path.symlink_to(tmp_path / "nowhere")
    journal = WorkerJournal(str(directory), WORKER, "h")

    journal.keep("q", PENDING)

    assert not path.is_symlink()
    assert not (tmp_path / "nowhere").exists()
    journal.clear("q")


@pytest.mark.parametrize("below", ["", "below", "below/it"])
def test_a_directory_that_is_a_broken_link_is_refused_and_nothing_created(tmp_path: Path, below: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    with pytest.raises(ConfigurationError, match=r"^the journal directory .* cannot be used: .*link is a broken link$"):
        prepare_directory(str(tmp_path / "link" / below))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["link"]


def test_a_directory_that_is_a_valid_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "there").mkdir(mode=0o700)

    with pytest.raises(ConfigurationError, match=r"is not a directory but a link: name the directory itself$"):
        prepare_directory(str(tmp_path / "link"))

    assert not list((tmp_path / "there").iterdir())


def test_a_link_of_our_own_in_the_path_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "there").mkdir(mode=0o700)

    assert prepare_directory(str(tmp_path / "link" / "journal")) == str(tmp_path / "there" / "journal")
