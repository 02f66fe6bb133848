"""Systems without /proc or without a writable directory. A pool works, or says why not."""

from __future__ import annotations

import os
import signal

import pytest

from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.pool.command import OPERATOR, WORKER, run
from tests.preload.test_pools import Home, home
from tests.support.paths import ROOT
from tests.support.tmpfs import can_mount, in_own_mounts

__all__ = ["home"]

pytestmark = pytest.mark.skipif(not can_mount(), reason="needs permission to mount file systems")
WITHOUT_PROC = in_own_mounts("mount -t tmpfs none /proc")


READ_ONLY = in_own_mounts(*(
    f"! [ -d '{place}' ] || {{ mount --bind '{place}' '{place}' && mount -o remount,bind,ro '{place}'; }}"
    for place in ("/tmp", "/var/tmp", "/usr/tmp", ROOT)
))  # fmt: skip
"""All directories that Python tries for temporary files; the last one is the current directory."""


def test_without_proc_each_worker_imports_and_the_pool_works(home: Home) -> None:
    home.write("def handler(body):\n    say('ok')\n")
    pool = home.pool("--control=off", via=WITHOUT_PROC)
    assert 'each worker imports by itself why="system: no /proc"' in pool.log()

    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    eventually(lambda: "worker died" in pool.log(), PATIENCE_S, pool.log)

    home.handles_reloads_and_drains(pool)

    assert "Traceback" not in pool.log()


@pytest.mark.parametrize(
    ("command", "code", "reported"),
    [
        ([WORKER, "tests.handlers:noop"], 2, "and the control socket needs one: set TMPDIR, name another place for "),
        ([OPERATOR, "pool"], 1, ": name the pool's socket by --control"),
        ([OPERATOR, "demo"], 2, ": set TMPDIR"),
    ],
)
def test_without_a_temporary_directory_a_command_fails_with_one_line(
    url: str, command: list[str], code: int, reported: str
) -> None:
    ended = run(*command, via=READ_ONLY, TMPDIR="", XDG_RUNTIME_DIR="", BIZZMQ_REDIS_URL=url)

    assert (ended.code, ended.out) == (code, "")
    (line,) = ended.err.splitlines()
    assert "no directory for temporary files can be written to" in line
    assert reported in line


def test_a_pool_without_a_control_socket_needs_no_temporary_directory(url: str) -> None:
    ended = run(WORKER, "tests.handlers:noop", "--control=off", "--burst", "-c1", via=READ_ONLY, TMPDIR="",
                XDG_RUNTIME_DIR="", BIZZMQ_REDIS_URL=url)  # fmt: skip

    assert ended.code == 0, ended
    assert "Traceback" not in ended.err


def test_a_memory_limit_that_cannot_be_enforced_is_refused(url: str) -> None:
    ended = run(WORKER, "tests.handlers:noop", "--max-memory=500", via=WITHOUT_PROC, BIZZMQ_REDIS_URL=url)

    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("bizzmq-worker: a memory limit cannot be enforced")
