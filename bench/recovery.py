"""Recovery time of a killed worker's message: `python -m bench.recovery`, or `python bench/recovery.py`.

Some workers are busy with short messages, others are idle. One after the other, busy workers get SIGKILL in the
middle of a message. The time is counted from just before the kill to the first line of the handler's next run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Sequence

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.handlers import NOTES
from bench.notes import Ledger, Pipe
from bench.pool import PATIENCE_S, Pool, started
from bench.server import QUEUE, Server, server


class Attack:
    """Keeps `busy` messages running and kills workers until `kills` messages were interrupted."""

    def __init__(self, on: Server, pool: Pool, pipe: Pipe, ledger: Ledger, seconds: float) -> None:
        self._on = on
        self._pool = pool
        self._pipe = pipe
        self._ledger = ledger
        self._seconds = seconds
        self._due_s: float | None = None
        self._rng = random.Random(1)
        self.published = 0

    def run(self, kills: int, busy: int) -> None:
        """Run the attack. Raises ClickException without progress for a minute."""
        book = self._ledger
        moved_s, moved = time.monotonic(), 0
        while len(book.recovered_s) < kills or len(book.ended) < self.published:
            done = len(book.recovered_s) >= kills
            while not done and self.published - len(book.ended) < busy:
                self._on.mq.publish_message_to_queue(QUEUE, {"seconds": self._seconds})
                self.published += 1
            self._pipe.read(0.05 if self._due_s is None else self._due_s - time.monotonic())
            if not done and not book.unrecovered:
                self._kill_when_due()
            self._pool.check()
            if len(book.ended) > moved:
                moved_s, moved = time.monotonic(), len(book.ended)
            if time.monotonic() - moved_s > PATIENCE_S:
                raise click.ClickException(f"nothing has moved for {PATIENCE_S:.0f} s")

    def _kill_when_due(self) -> None:
        """Kill a worker in the middle half of a message that was not interrupted before."""
        book = self._ledger
        fresh = {pid: message for pid, message in book.running.items() if book.started[message] == 1}
        if not fresh:
            self._due_s = None
            return
        pid = max(fresh, key=lambda candidate: book.started_s[fresh[candidate]])
        now_s = time.monotonic()
        if self._due_s is None:
            self._due_s = now_s + self._seconds * self._rng.uniform(0.1, 0.6)
        elif now_s >= self._due_s:
            self._due_s = None
            if now_s - book.started_s[fresh[pid]] < 0.75 * self._seconds:
                book.killed_s[pid] = time.monotonic()
                os.kill(pid, signal.SIGKILL)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by this share of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@click.command()
@click.option("--kills", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--workers", type=click.IntRange(min=2), default=4, show_default=True)
@click.option("--busy", type=click.IntRange(min=1), default=2, show_default=True, help="Running messages.")
@click.option("--handler-ms", type=click.FloatRange(min=5), default=40, show_default=True)
@report.options
def main(kills: int, workers: int, busy: int, handler_ms: float, where: str, json_path: Path | None) -> None:
    """Milliseconds from the SIGKILL of a worker until its message runs again."""
    book = Ledger()
    with server(where) as on, tempfile.TemporaryDirectory(prefix="bizzmq-bench-") as name:
        facts, acked_before = report.conditions(on), on.acked()
        pipe = Pipe(Path(name) / "notes", book)
        command = ["-m", "bench.recovery_pool", on.url, str(workers)]
        with started(command, **{NOTES: str(Path(name) / "notes")}) as pool:
            pool.wait_idle(on, workers)
            attack = Attack(on, pool, pipe, book, handler_ms / 1000)
            attack.run(kills, busy)
            code = pool.stop()
        pipe.close()
        balance = report.balance(on, QUEUE, attack.published, acked_before)
    balance.update(kills=len(book.recovered_s), duplicates=sum(book.started.values()) - len(book.started))
    publish(book, balance, facts, json_path, kills=kills, workers=workers, busy=busy, handler_ms=handler_ms)
    if balance["duplicates"] != balance["kills"] or code != 0:
        raise click.ClickException("more messages ran twice than were interrupted, or the pool failed")


def publish(
    book: Ledger, balance: dict[str, int], facts: dict[str, Any], json_path: Path | None, **settings: float
) -> None:
    """Show and write the results."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    took_ms = {name: round(1000 * percentile(book.recovered_s, share), 2) for name, share in shares.items()}
    results = {
        "benchmark": "recovery",
        "conditions": facts,
        "settings": settings,
        "recovered_ms": took_ms,
        "all_ms": [round(1000 * each, 3) for each in book.recovered_s],
        "balance": balance,
    }
    row = [f"{len(book.recovered_s)} kills", *(f"{value:.1f}" for value in took_ms.values())]
    report.publish(results, ["ms until it runs again", *took_ms], [row], json_path)


if __name__ == "__main__":
    main()
