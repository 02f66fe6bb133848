"""Process titles show pool, slot and state, if the library is installed."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from bizzmq import BizzMQ
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER, Gate
from tests.support.paths import ROOT

StartPool = Callable[..., Pool]

FAKE = """
import os, pathlib

def setproctitle(title):
    with pathlib.Path({folder!r}, str(os.getpid())).open("a") as file:
        file.write(title + "\\n")
"""


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    """A directory that has a file for each process, with the titles that it has set."""
    folder = tmp_path / "titles"
    folder.mkdir()
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "setproctitle.py").write_text(FAKE.format(folder=str(folder)))
    return folder


def titles_of(folder: Path, pid: int) -> list[str]:
    file = folder / str(pid)
    return file.read_text().splitlines() if file.exists() else []


def with_fake(titles: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{titles.parent / 'fake'}:{ROOT}"}


def test_every_process_has_a_title(start_pool: StartPool, url: str, titles: Path, tmp_path: Path) -> None:
    pool = start_pool(url, handler=HANDLER, concurrency=1, env=with_fake(titles))
    pool.wait_ready()
    supervisor, (worker,) = pool.supervisor_pid, pool.worker_pids()
    about = f"[pool {supervisor}: q]"
    eventually(lambda: titles_of(titles, worker)[-1:] == [f"bizzmq worker 0 {about} working"])
    gate = Gate(tmp_path / "gate")
    with BizzMQ(url) as mq:
        mq.publish_message_to_queue("q", gate.body())
        eventually(lambda: mq.stats("q").processing == 1)

    pool.signal(signal.SIGTERM)
    eventually(lambda: titles_of(titles, worker)[-1:] == [f"bizzmq worker 0 {about} draining"])
    gate.open()
    assert pool.wait() == 0

    assert titles_of(titles, supervisor) == [f"bizzmq supervisor {about} {state}" for state in ("working", "draining")]
    assert titles_of(titles, worker) == [f"bizzmq worker 0 {about} {s}" for s in ("booting", "working", "draining")]
    everything = [line for file in titles.iterdir() for line in file.read_text().splitlines()]
    assert f"bizzmq janitor {about} at work" in everything
    assert f"bizzmq template {about} importing" in everything
    assert f"bizzmq template {about} ready" in everything


def test_messages_do_not_change_titles(start_pool: StartPool, url: str, titles: Path) -> None:
    pool = start_pool(url, concurrency=1, handler="tests.handlers:noop", env=with_fake(titles))
    pool.wait_ready()
    (worker,) = pool.worker_pids()
    with BizzMQ(url) as mq:
        mq.publish_messages_to_queue("q", [{}] * 200)
        eventually(lambda: mq.stats("q").acked == 200)

    assert [title.split()[-1] for title in titles_of(titles, worker)] == ["booting", "working"]


def test_many_queues_do_not_make_a_long_title(start_pool: StartPool, url: str, titles: Path) -> None:
    pool = start_pool(url, queue=[f"queue-number-{n}" for n in range(20)], env=with_fake(titles))
    pool.wait_ready()

    (title,) = titles_of(titles, pool.supervisor_pid)
    assert len(title) < 120
    assert "...]" in title


@pytest.mark.skipif(importlib.util.find_spec("setproctitle") is None, reason="needs the extra titles")
def test_the_real_library_shows_them_in_ps(start_pool: StartPool, url: str) -> None:
    pool = start_pool(url, concurrency=1)
    pool.wait_ready()

    def command_of(pid: int) -> Any:
        return " ".join(psutil.Process(pid).cmdline()).strip()

    (worker,) = pool.worker_pids()
    about = f"[pool {pool.supervisor_pid}: q]"
    assert command_of(pool.supervisor_pid) == f"bizzmq supervisor {about} working"
    eventually(lambda: command_of(worker) == f"bizzmq worker 0 {about} working")


def test_without_the_library_nothing_changes(start_pool: StartPool, url: str, tmp_path: Path) -> None:
    (tmp_path / "setproctitle.py").write_text("raise ImportError('not here')\n")
    pool = start_pool(url, concurrency=1, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    pool.wait_ready()

    assert "bizzmq.workers" in psutil.Process(pool.supervisor_pid).cmdline()
