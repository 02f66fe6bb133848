"""`bizzmq demo`: a pool handles messages, one of its workers is killed half-way, and the result is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Iterator

import click

from bizzmq.client import BizzMQ
from bizzmq.demo.ledger import Balance, balance, read_runs
from bizzmq.demo.tasks import LEDGER
from bizzmq.queue import QueueOptions
from bizzmq.utils import clock, scratch_directory
from bizzmq.utils.standard_streams import show, show_on_stderr

QUEUE = "demo"
_BELOW, _PRIMES = 2600, 378  # a few milliseconds of trial division
_PATIENCE_S = 300.0


class Demo:
    """Publishes messages, runs a pool, kills one of its workers, drains the pool, and counts.

    Args:
        messages: how many messages are published.
        concurrency: the number of worker processes; None for one per processor, at least 2.
    """

    def __init__(self, messages: int, concurrency: int | None) -> None:
        self._messages = messages
        self._concurrency = concurrency or max(2, os.cpu_count() or 2)
        self._victim = 0
        self._killed_s = 0.0

    def run(self) -> int:
        """Run the demo. Returns 0 only if every message was handled and the pool ended normally.

        Until then SIGTERM and SIGHUP raise exceptions, so that they leave no pool behind.
        """
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        begin_s = clock.monotonic()
        with scratch_directory.directory("bizzmq-demo-") as name:
            ledger = Path(name) / "ledger"
            ledger.mkdir()
            url = f"embedded://{name}/server"
            with BizzMQ(url) as mq:
                show(f"server         a private one, started in {_ms(begin_s)} ms")
                published = self._publish(mq)
                with self._pool(url, ledger, Path(name) / "pool.log") as pool:
                    done = self._watch(mq, pool, ledger)
                    begin_s = clock.monotonic()
                    pool.send_signal(signal.SIGTERM)
                    code = pool.wait(timeout=60)
                    show(f"drained        in {_ms(begin_s)} ms after SIGTERM, exit code {code}")
                result = balance(read_runs(ledger), published, self._victim, self._killed_s)
                if not done or code != 0:
                    show_on_stderr((Path(name) / "pool.log").read_text(errors="replace"))
        self._summary(result)
        return 0 if done and code == 0 and result.lost == 0 and result.recovery_s is not None else 1

    def _publish(self, mq: BizzMQ) -> list[str]:
        mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True))
        begin_s = clock.monotonic()
        body = {"below": _BELOW, "primes": _PRIMES}
        ids = mq.publish_messages_to_queue(QUEUE, [body] * self._messages)
        show(f"published      {len(ids):,} messages of CPU-bound work in {_ms(begin_s)} ms")
        return ids

    @contextmanager
    def _pool(self, url: str, ledger: Path, log: Path) -> Iterator[subprocess.Popen[Any]]:
        """A context manager: a pool, started as a user starts it. It always ends with the context."""
        arguments = ["-m", "bizzmq.workers", "-q", QUEUE, "-c", str(self._concurrency)]
        environment = {**os.environ, LEDGER: str(ledger), "BIZZMQ_WORKER_REDIS_URL": url}
        with log.open("wb") as output:
            pool = subprocess.Popen(
                [sys.executable, *arguments, "bizzmq.demo.tasks:count_primes"],
                env=environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            try:
                show(f"pool           bizzmq-worker with {self._concurrency} worker processes")
                yield pool
            finally:
                if pool.poll() is None:
                    pool.send_signal(signal.SIGQUIT)
                    try:
                        pool.wait(timeout=10)
                    except subprocess.TimeoutExpired:
                        pool.kill()
                        pool.wait()

    def _watch(self, mq: BizzMQ, pool: subprocess.Popen[Any], ledger: Path) -> bool:
        """Show the progress and kill a worker half-way; False if the pool has ended or makes no progress."""
        moved_s, shown = clock.monotonic(), 0
        with click.progressbar(length=self._messages, label="handling") as bar:
            while shown < self._messages:
                acked = mq.stats(QUEUE).acked
                if acked > shown:
                    bar.update(acked - shown)
                    moved_s, shown = clock.monotonic(), acked
                if not self._victim and 2 * acked >= self._messages:
                    self._kill_one(ledger)
                if pool.poll() is not None or clock.monotonic() - moved_s > _PATIENCE_S:
                    return False
                clock.sleep(0.02)
        if self._victim:
            show(f"killed         worker {self._victim} with SIGKILL half-way, while it was running a message")
        return True

    def _kill_one(self, ledger: Path) -> None:
        """Kill a worker that is running a message. It is stopped first, to be sure of that."""
        for pid in _busy(ledger):
            os.kill(pid, signal.SIGSTOP)
            if pid in _busy(ledger):
                self._victim, self._killed_s = pid, clock.monotonic()
                os.kill(pid, signal.SIGKILL)
                return
            os.kill(pid, signal.SIGCONT)

    def _summary(self, result: Balance) -> None:
        total_s = result.span_s * self._concurrency or 1.0
        busy = 100 * result.work_s / total_s
        rate = result.handled / (result.span_s or 1.0)
        recovery = "never" if result.recovery_s is None else f"{result.recovery_s * 1000:.1f} ms after the kill"
        mean_ms = 1000 * result.work_s / (result.handled or 1)
        show()
        show(f"published      {result.published:,}")
        show(f"handled        {result.handled:,}")
        show(f"lost           {result.lost:,}")
        show(f"handled twice  {result.twice:,}")
        show(f"recovered      the killed worker's message ran again {recovery}")
        show(f"throughput     {rate:,.0f} messages a second of {mean_ms:.1f} ms each")
        show(f"time           {busy:.1f}% of the workers' time in the handler, {100 - busy:.1f}% elsewhere")


def _busy(ledger: Path) -> list[int]:
    """The processes that have started a message and not finished it."""
    return [run.pid for run in read_runs(ledger) if run.end_s is None]


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _ms(since_s: float) -> int:
    return round((clock.monotonic() - since_s) * 1000)
