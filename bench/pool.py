"""A real pool of worker processes, started as a user starts it, and its resource usage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

import click
import psutil

from bench.server import QUEUE, Server

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0


class Pool:
    """The processes of one pool.

    Attributes:
        boot_s: seconds from its start until all workers were idle.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._begin_s = time.monotonic()
        self.boot_s = 0.0
        cleaned = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], cwd=str(ROOT), env={**cleaned, **env},
                stdout=output, stderr=output,
            )  # fmt: skip

    def wait_idle(self, server: Server, workers: int) -> None:
        """Return when `workers` workers wait for work."""
        wait_until(lambda: server.waiting_clients() >= workers, "the pool to boot", self)
        self.boot_s = time.monotonic() - self._begin_s

    def check(self) -> None:
        """Raise ClickException with the log if the pool has ended."""
        if self._process.poll() is not None:
            raise click.ClickException(f"the pool has ended\n{self._log.read_text(errors='replace')}")

    def workers(self) -> list[int]:
        """The pids of all workers that were ever started."""
        return [event["pid"] for event in self._events() if event["event"] == "worker started"]

    def processes(self) -> list[int]:
        """The pids of the supervisor, the janitor and all workers that are alive now."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [self._process.pid, *(child.pid for child in children)]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend all workers inside the block; they hold no messages if they were idle before."""
        pids = self.workers()
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            stopped = psutil.STATUS_STOPPED
            wait_until(lambda: all(psutil.Process(pid).status() == stopped for pid in pids), "SIGSTOP", self)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def stop(self) -> int:
        """Drain it and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)

    def end(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _events(self) -> Iterator[Mapping[str, Any]]:
        for line in self._log.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)


@contextmanager
def started(arguments: Sequence[str], **env: str) -> Iterator[Pool]:
    """Run `python ARGUMENTS...` in the project's root: a pool that logs JSON to stderr."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-bench-") as name:
        pool = Pool(arguments, env, Path(name) / "pool.log")
        try:
            yield pool
        finally:
            pool.end()


def command(server: Server, workers: int, handler: str, *options: str) -> list[str]:
    """The arguments of `bizzmq-worker`, with default settings except for the options."""
    fixed = ["-m", "bizzmq.workers", "--log-format=json", f"--redis-url={server.url}", f"--queue={QUEUE}"]
    return [*fixed, f"--concurrency={workers}", *options, handler]


def cpu_s(pids: Sequence[int]) -> float:
    """The CPU time of these processes in seconds; exact on Linux, to 10 ms each elsewhere."""
    total = 0.0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
        except OSError:
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def wait_until(condition: Callable[[], bool], what: str, pool: Pool, poll_s: float = 0.005) -> None:
    """Return when the condition holds. Raises ClickException after a minute, or when the pool has ended."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        pool.check()
        if time.monotonic() > give_up_s:
            raise click.ClickException(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(poll_s)
