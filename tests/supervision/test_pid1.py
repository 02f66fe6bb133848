"""P25, P26: the supervisor as process 1, with SIGCHLD inherited as ignored, or with broken standard streams."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import psutil
import pytest

from bizzmq import BizzMQ
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.supervision.pool_status import socket_of, status_of, wait_for_status
from tests.support.paths import ROOT

StartPool = Callable[..., Pool]


def can_unshare() -> bool:
    try:
        return (
            subprocess.run(["unshare", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL, check=False).returncode
            == 0
        )
    except FileNotFoundError:
        return False


# Runs before the pool: prepares what the pool inherits, then executes the pool.
PRELUDE = """
import os, signal, sys
{prelude}
os.execv(sys.executable, [sys.executable, "-m", "bizzmq.workers", *sys.argv[1:]])
"""
IGNORED = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
CLOSED = "os.close(1)"
ALL_CLOSED = "os.closerange(0, 3)"
BROKEN = "r, w = os.pipe(); os.close(r); os.dup2(w, 1); os.dup2(w, 2)"


@pytest.fixture
def start(url: str, environment: dict[str, str], ledger: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start a pool after a prelude: start(prelude, *arguments, before=[...]) returns its Popen."""
    started: list[subprocess.Popen[bytes]] = []

    def start(prelude: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
        inherited["BIZZMQ_LEDGER"] = str(ledger.directory)
        options = [f"--redis-url={url}", "--queue=q", "--concurrency=2", *arguments]
        with (tmp_path / "pool.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [
                        *before,
                        sys.executable,
                        "-c",
                        PRELUDE.format(prelude=prelude),
                        *options,
                        "tests.handlers:by_body",
                    ],
                    cwd=str(ROOT),
                    env={**inherited, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            for member in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    member.kill()
        process.kill()
        process.wait()
    print((tmp_path / "pool.log").read_text(errors="replace"))  # noqa: T201 - for pytest's report


def sleepers(supervisor: psutil.Process) -> list[psutil.Process]:
    """The processes that the action leave_grandchild has left below a supervisor."""
    found = []
    for process in supervisor.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "time.sleep(60)" in " ".join(process.cmdline()):
                found.append(process)
    return found


def only_socket(runtime: Path) -> Path:
    return eventually(lambda: next(iter((runtime / "bizzmq").glob("pool-*.sock")), None), 20.0)


def all_work(status: Any) -> bool:
    return bool(status["working"] == 2)


@pytest.mark.parametrize("prelude", [IGNORED, CLOSED, ALL_CLOSED, BROKEN], ids=["sigchld", "stdout", "all", "broken"])
def test_deaths_are_noticed_and_sigterm_works_with_any_inherited_state(
    start: Callable[..., Any], url: str, runtime: Path, prelude: str
) -> None:
    process = start(prelude)
    path = only_socket(runtime)
    (victim, _) = [slot["pid"] for slot in wait_for_status(path, all_work)["slots"]]

    os.kill(victim, signal.SIGKILL)

    status = wait_for_status(path, lambda now: now["deaths"] == 1 and all_work(now))
    assert any(slot["last_death"] == "was killed by SIGKILL" for slot in status["slots"]), "its status was seen"
    with BizzMQ(url) as mq:
        mq.publish_messages_to_queue("q", [{"value": "x"}] * 20)
        eventually(lambda: mq.stats("q").acked == 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60.0) == 0


def test_handlers_may_print_with_a_closed_stdout(
    start: Callable[..., Any], url: str, runtime: Path, tmp_path: Path
) -> None:
    (tmp_path / "printing.py").write_text(
        "import os, sys\ndef handler(body):\n    print('x' * 10000, flush=True)\n    os.write(1, b'raw')\n"
    )
    start(f"{ALL_CLOSED}; os.environ['PYTHONPATH'] = {str(tmp_path)!r}; sys.argv[-1] = 'printing:handler'")
    path = only_socket(runtime)
    wait_for_status(path, all_work)

    with BizzMQ(url) as mq:
        mq.publish_messages_to_queue("q", [{}] * 20)
        eventually(lambda: mq.stats("q").acked == 20)

    assert status_of(path)["deaths"] == 0, "no descriptor of ours had the number of stdout"


def test_foreign_orphans_are_reaped(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url)
    wait_for_status(socket_of(pool, runtime), all_work)
    with BizzMQ(url) as mq:
        mq.publish_messages_to_queue("q", [{"do": "leave_grandchild", "own_session": True}] * 3)
        eventually(lambda: mq.stats("q").acked == 3)
    for process in pool.living():
        if "time.sleep(60)" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)

    for pid in pool.worker_pids():  # their parents exit too, so that the supervisor inherits them
        os.kill(pid, signal.SIGKILL)

    eventually(lambda: pool.zombies() == [], 30)


@pytest.mark.skipif(os.geteuid() != 0 or not can_unshare(), reason="needs root and unshare")
def test_as_process_1(start: Callable[..., Any], url: str, runtime: Path, environment: dict[str, str]) -> None:
    process = start("", before=("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"))
    path = only_socket(runtime)
    wait_for_status(path, all_work)
    assert path.name == "pool-1.sock"
    (supervisor,) = psutil.Process(process.pid).children()
    with BizzMQ(url) as mq:
        mq.publish_messages_to_queue("q", [{"do": "leave_grandchild", "own_session": True}] * 5)
        eventually(lambda: mq.stats("q").acked == 5)

    orphans = eventually(lambda: sleepers(supervisor) if len(sleepers(supervisor)) == 5 else None)
    for worker in {orphan.parent() for orphan in orphans}:  # several belong to one worker
        if worker is not None and worker != supervisor:
            worker.kill()
    # The pool ends processes that its dead workers left; their parent is process 1 now, which must reap them.
    eventually(lambda: not any(psutil.pid_exists(orphan.pid) for orphan in orphans), 30, "orphans to be reaped")
    assert wait_for_status(path, all_work)["pid"] == 1
    check = subprocess.run(
        [sys.executable, "-m", "bizzmq.workers", "--check"],
        cwd=str(ROOT),
        env={**os.environ, **environment},
        check=False,
    )
    assert check.returncode == 0, "from outside of its namespace, where pid 1 is another process"

    supervisor.send_signal(signal.SIGTERM)

    assert process.wait(60.0) == 0
    assert list((runtime / "bizzmq").iterdir()) == []
