"""The pool of `bizzmq demo --torture`: a real pool, started as a user starts it, and its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Mapping

import psutil

import bizzmq
from bizzmq.demo.tasks import LEDGER
from bizzmq.demo.torture.module import SPEC

TIMEOUT_S, GRACE_S = 2.0, 0.5
_GROWN_MB, _TOO_MUCH_MB = 60, 200
_OPTIONS = (
    "--log-format=json", "--log-level=debug", f"--timeout={TIMEOUT_S}", f"--timeout-grace={GRACE_S}",
    f"--max-memory={_GROWN_MB}", f"--kill-memory={_TOO_MUCH_MB}", "--max-messages=500", "--drain-timeout=20",
)  # fmt: skip
_STARTED = {"worker started": "worker", "template started": "template", "janitor started": "janitor"}


class TorturePool:
    """`bizzmq-worker` with limits, in its own session. A context manager that leaves no process behind.

    Attributes:
        pid: the pid of the supervisor.
        events: the events of the log so far.
        noise: other lines of the log, such as tracebacks. There should be none.
    """

    def __init__(self, url: str, queue: str, concurrency: int, directory: Path, ledger: Path) -> None:
        command = [sys.executable, "-m", "bizzmq.workers", f"--queue={queue}", f"--concurrency={concurrency}"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
        path = [str(Path(bizzmq.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **kept,
            LEDGER: str(ledger),
            "BIZZMQ_WORKER_REDIS_URL": url,
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONDONTWRITEBYTECODE": "1",  # two generations within the same second would share their compiled code
        }
        self._log = directory / "pool.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, *_OPTIONS, SPEC], cwd=str(directory), env=environment, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid
        self.events: list[Mapping[str, Any]] = []
        self.noise: list[str] = []
        self._read_to = 0
        self._rest = b""

    def __enter__(self) -> TorturePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGQUIT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # it has ended in the meantime

    @property
    def exit_code(self) -> int | None:
        """The exit code of the supervisor; None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def read_log(self) -> list[Mapping[str, Any]]:
        """The events that were logged since the last call."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            data = log.read()
        self._read_to += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        fresh = []
        for line in lines:
            try:
                fresh.append(json.loads(line))
            except ValueError:
                self.noise.append(line.decode("utf-8", "replace"))
        self.events += fresh
        return fresh

    def log_text(self) -> str:
        """The whole log."""
        return self._log.read_text(errors="replace")

    def living(self, role: str) -> list[int]:
        """The pids of the living workers, templates or janitors, oldest first."""
        pids = [event["pid"] for event in self.events if _STARTED.get(event["event"]) == role]
        return [pid for pid in pids if _is_ours(pid, self.pid)]

    def left(self) -> list[int]:
        """The pids of all processes that the pool or its handlers have started, including zombies."""
        return [pid for pid in psutil.pids() if pid != self.pid and _session(pid) == self.pid]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _is_ours(pid: int, session: int) -> bool:
    """Whether this pid is a living process of the pool. A process that reuses the pid is in another session."""
    try:
        return _session(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
