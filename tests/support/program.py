"""A program of examples/ or bench/, run as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterator, Mapping

import psutil

from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually

ROOT = Path(__file__).resolve().parents[2]
StartProgram = Callable[..., "Program"]


class Program:
    """`python ARGUMENTS...` in `directory`, with the project importable and only the settings in `env`."""

    def __init__(self, arguments: list[str], directory: Path, log: Path, env: Mapping[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
        # Line-buffered, as on a terminal: here the output goes to a file.
        environment = {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
        self._log = log
        with log.open("wb") as output:
            self._process = spawn([sys.executable, *arguments], output, cwd=directory, env=environment)

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Return when its output holds the text `times` times; fail at once if it has ended before that."""

        def seen() -> bool:
            ended = self._process.poll() is not None
            return self.output().count(text) >= times or ended

        eventually(seen, 30.0, lambda: f"{text!r} in {self.output()}")
        assert self.output().count(text) >= times, self.output()

    def stop(self, number: int = signal.SIGINT) -> None:
        """Send it a signal; it must exit with 0."""
        self._process.send_signal(number)
        self.succeeds()

    def succeeds(self) -> None:
        assert self._process.wait(110.0) == 0, self.output()

    def close(self) -> None:
        """End it if it still runs, first as a user would, so that it ends its own processes."""
        if self._process.poll() is None:
            descendants = psutil.Process(self._process.pid).children(recursive=True)
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for descendant in descendants:  # a pool that outlives its test would work on the next test's server
                with suppress(psutil.NoSuchProcess):
                    descendant.kill()


@contextmanager
def programs(directory: Path, logs: Path) -> Iterator[StartProgram]:
    """start("file.py", "--option", VARIABLE="value"); leaving the block ends all started programs."""
    started: list[Program] = []

    def start(*arguments: str, **env: str) -> Program:
        started.append(Program(list(arguments), directory, logs / f"program-{len(started)}.log", env))
        return started[-1]

    try:
        yield start
    finally:
        for program in reversed(started):
            program.close()
