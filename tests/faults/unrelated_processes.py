"""Unrelated processes, which a pool must not touch, and registry entries that name them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from bizzmq.protocol import ids
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.wait import eventually
from tests.faults.bystander import READY
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.support.paths import ROOT


class Bystander:
    """An unrelated process. It has a session of its own, except with a given pid and without `leads`."""

    def __init__(self, log: Path, *arguments: Any) -> None:
        self._log = log
        log.touch()
        words = [sys.executable, "-m", "tests.faults.bystander", str(log), *map(str, arguments)]
        self._process = subprocess.Popen(
            words, cwd=str(ROOT), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        eventually(lambda: self._said() or self._process.poll() is not None, PATIENCE_S, "a bystander")
        if not self._said():
            assert self._process.stderr is not None
            why = self._process.stderr.read().decode()
            self.close()
            if "EPERM" in why or "ENOSYS" in why:
                pytest.skip(f"pids cannot be chosen here: {why}")
            raise AssertionError(why)
        self.pid = int(self._said()[0].split()[1])
        self._who = psutil.Process(self.pid)

    def _said(self) -> list[str]:
        return self._log.read_text().splitlines()

    def check_untouched(self) -> None:
        """Check that it is alive and has received no signal."""
        assert self._who.is_running()
        assert self._who.status() == psutil.STATUS_SLEEPING, self._who.status()
        assert self._said() == [f"{READY} {self.pid}"], "it got a signal"

    def close(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess, AttributeError):
            self._who.kill()
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


def forge(scene: Scene, supervisor: str, worker: str, message: str, counter: int | None = 1) -> None:
    """Make this worker of this supervisor hold a waiting message; with a counter the supervisor is registered."""
    keys = Keys(QUEUE)
    if counter is not None:
        command(scene.redis, "HSET", keys.supervisors, supervisor, counter)
    command(scene.redis, "HSET", keys.workers, worker, supervisor)
    assert command(scene.redis, "LREM", keys.waiting, 1, message) == 1
    command(scene.redis, "LPUSH", keys.processing(worker), message)


def forged_names(pid: int) -> list[tuple[str, str]]:
    """Supervisor and worker ids that could be read as this process or its group."""
    host, boot, *_ = ids.supervisor_id().split(":")
    started = int(psutil.Process(pid).create_time())
    return [
        (f"{host}:{boot}:{pid}:AAAAAAA", f"{host}:{boot}:{pid}:AAAAAAA/0.aaaa"),
        (f"{host}:{boot}:{pid}:BBBBBBB", f"{host}:{boot}:{pid}:BBBBBBB/{pid}.bbbb"),
        (f"{host}:otherone:{pid}:CCCCCCC", f"{host}:otherone:{pid}:CCCCCCC/0.cccc"),
        (f"elsewhere:{boot}:{pid}:DDDDDDD", f"elsewhere:{boot}:{pid}:DDDDDDD/0.dddd"),
        (f"{host}:{boot}:{pid}:{started}", f"{host}:{boot}:{pid}:{started}/0.{started}"),
        (f"{host}:{boot}:{pid}.{started - 1}:E", f"{host}:{boot}:{pid}.{started - 1}:E/0.e"),
        (f"{pid}", f"{pid}/0"),
        (f"-{pid}", f"-{pid}/0"),
        ("-1", "-1"),
        ("0", "0"),
        ("x" * 5000, "x" * 5000),
        ("line\nbreak: \x1b[31m", "line\nbreak: \x1b[31m"),
    ]
