"""One running arm: its two worker processes, its publisher, and the barrier."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import click
import psutil

from bench.fair.lab import Lab
from bench.fair.tallies import Tallies
from bench.peers.apps import tally
from bench.peers.environment import Environment
from bench.peers.peer import Peer

PATIENCE_S = 90.0
SHARED = Path("/dev/shm")


class Arm:
    """The processes of one peer.

    Attributes:
        boot_s: seconds from the workers' start until the first message was handled.
        published: ids below this were published.
    """

    def __init__(self, peer: Peer, place: Environment, lab: Lab, tallies: Tallies, folder: Path,
                 turns_per_us: float) -> None:  # fmt: skip
        self.peer, self.lab, self.tallies = peer, lab, tallies
        self.published = self._handled = 0
        self.boot_s = 0.0
        self._place = place
        self._log = (folder / "log").open("wb")
        self._env = {
            **place.variables(peer.hidden),
            "BENCH_URL": lab.url,
            tally.DIRECTORY: str(folder),
            tally.CAPACITY: str(tallies.capacity),
            tally.TURNS: str(turns_per_us),
            **({tally.RESULTS: "1"} if peer.keeps_results else {}),
            **({tally.FEATURE: peer.feature} if peer.feature else {}),
            **dict(peer.variables),
        }
        self._workers: list[subprocess.Popen[bytes]] = []
        self._publisher = subprocess.Popen(
            self._command(peer.publisher), cwd=str(place.folder), env=self._env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self._answer()

    def boot(self, warm_up: int, processes: int = 2) -> None:
        """Start the workers, let each handle a message, and wait until they are idle."""
        begin_s = time.monotonic()
        self._workers = [self._start(command) for command in self.peer.workers]
        self.publish("single", 1)
        self.wait_handled()
        self.boot_s = time.monotonic() - begin_s
        give_up_s = time.monotonic() + PATIENCE_S
        while len(self.tallies.slots()) < processes and time.monotonic() < give_up_s:
            self.publish("bulk", 20, us=1000)
            self.wait_handled()
        self.publish("bulk", warm_up)
        self.wait_acked()

    def revive(self) -> None:
        """Restart the worker commands that have ended."""
        for number, command in enumerate(self.peer.workers):
            if self._workers[number].poll() is not None:
                self._workers[number] = self._start(command)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command(command), cwd=str(self._place.folder), env=self._env,
                                stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)  # fmt: skip

    def publish(self, do: str, count: int, us: int = 0, at: list[float] | None = None) -> dict[str, Any]:
        """Let the publisher publish the next ids and return its answer."""
        order = {"do": do, "first": self.published, "count": count, "us": us, "at": at}
        if self.published + count > self.tallies.capacity:
            raise click.ClickException(f"{self.peer.name}: more messages than the tally has room for")
        assert self._publisher.stdin is not None
        self._publisher.stdin.write(json.dumps(order) + "\n")
        self._publisher.stdin.flush()
        self.published += count
        return self._answer()

    def wait_handled(self) -> None:
        """Wait until every id was handled; noticed with a delay of at most a twentieth of that time.

        It polls rarely while many are left, because a poll takes time from the workers. The remaining time is estimated
        from the progress so far, which says little about an arm that has just started.
        """
        due = range(self._handled, self.published)
        begin_s, done = time.monotonic(), 0

        def are_handled() -> bool:
            nonlocal done
            done = self.tallies.handled(due)
            return done >= len(due)

        def pause_s() -> float:
            passed_s = time.monotonic() - begin_s
            rest_s = passed_s * (len(due) - done) / max(1, done)
            return max(0.001, min(rest_s / 2, passed_s / 20))

        self._wait(are_handled, "its messages to be handled", pause_s)
        self._handled = self.published

    def wait_acked(self) -> None:
        """Wait until every id was handled and Redis has no unacked message left."""
        self.wait_handled()
        self._wait(lambda: self.lab.left(self.peer.left) == 0, "its messages to be acked", lambda: 0.0005)

    def processes(self) -> list[psutil.Process]:
        """All processes of the workers, parents first."""
        found: list[psutil.Process] = []
        for worker in self._workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(worker.pid)
                found += [parent, *parent.children(recursive=True)]
        return found

    def publisher_cpu_s(self) -> float:
        """The CPU time of the publisher, to 10 ms."""
        return float(sum(psutil.Process(self._publisher.pid).cpu_times()[:2]))

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Stop all worker processes inside the block; leaving it releases the barrier."""
        stopped = self.processes()
        try:
            for process in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):  # a process that was forked for a single message
                    process.suspend()
            yield
        finally:
            for process in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def close(self) -> None:
        """End all processes, first with SIGTERM."""
        family = self.processes()
        for process in self._workers:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        assert self._publisher.stdin is not None
        with contextlib.suppress(OSError):
            self._publisher.stdin.close()
        _, alive = psutil.wait_procs([*family, psutil.Process(self._publisher.pid)], timeout=3.0)
        for late in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                late.kill()
        for worker in self._workers:
            worker.wait()
        self._publisher.wait()
        self._publisher.stdout.close()  # type: ignore[union-attr]
        self._log.close()

    def _command(self, words: Any) -> list[str]:
        return self._place.command(tuple(words), self.lab.url)

    def _answer(self) -> dict[str, Any]:
        assert self._publisher.stdout is not None
        line = self._publisher.stdout.readline()
        while line and not line.startswith("{"):
            line = self._publisher.stdout.readline()
        if not line:
            raise click.ClickException(f"{self.peer.name}: its publisher has ended\n{self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _wait(self, condition: Callable[[], bool], what: str, pause_s: Callable[[], float]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition():
            if all(worker.poll() is not None for worker in self._workers):
                raise click.ClickException(f"{self.peer.name}: its workers have ended\n{self._said()}")
            if time.monotonic() > give_up_s:
                raise click.ClickException(f"{self.peer.name}: waited {PATIENCE_S:.0f} s for {what}\n{self._said()}")
            time.sleep(pause_s())

    def _said(self) -> str:
        return Path(self._log.name).read_text(errors="replace")[-6000:]


@contextlib.contextmanager
def running(peer: Peer, place: Environment, lab: Lab, capacity: int, turns_per_us: float) -> Iterator[Arm]:
    """An arm on an emptied server, not started yet; ended afterwards."""
    lab.empty()
    where = str(SHARED) if SHARED.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="bizzmq-bench-", dir=where) as name:
        arm = Arm(peer, place, lab, Tallies(Path(name), capacity), Path(name), turns_per_us)
        try:
            yield arm
        finally:
            arm.close()
