"""Respawn time of a worker with a slow import: `python -m bench.respawn`, or `python bench/respawn.py`.

The pool has one worker. While it is idle it gets SIGKILL, and a message is published. The time is counted from just
before the kill until the handler starts: with preload on, the next worker is forked from a template that has imported
the module; with off, it imports the module first.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.handlers import IMPORT_TIME, NOTES
from bench.notes import Ledger, Pipe
from bench.pool import PATIENCE_S, Pool, started
from bench.server import QUEUE, Server, server


def measure(on: Server, preload: str, kills: int, import_s: float) -> list[float]:
    """Seconds from each SIGKILL of an idle worker to the start of the next worker's first message."""
    book = Ledger()
    with tempfile.TemporaryDirectory(prefix="bizzmq-bench-") as name:
        pipe = Pipe(Path(name) / "notes", book)
        settings = {NOTES: str(Path(name) / "notes"), IMPORT_TIME: str(import_s)}
        with started(["-m", "bench.respawn_pool", on.url, preload], **settings) as pool:
            took_s = [kill_one(on, pool, pipe, book) for _ in range(kills)]
            if pool.stop() != 0:
                raise click.ClickException("the pool has ended badly")
        pipe.close()
    return took_s


def kill_one(on: Server, pool: Pool, pipe: Pipe, book: Ledger) -> float:
    """Kill the worker; seconds until the next worker has started a message."""
    pool.wait_idle(on, 1)
    victim = pool.workers()[-1]
    begin_s = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    message = on.mq.publish_message_to_queue(QUEUE, {"seconds": 0.0})
    while message not in book.ended:
        pool.check()
        pipe.read(0.1)
        if time.monotonic() - begin_s > PATIENCE_S:
            raise click.ClickException(f"worker {victim} was not replaced")
    return book.started_s[message] - begin_s


@click.command()
@click.option("--kills", type=click.IntRange(min=1), default=20, show_default=True, help="With preload on.")
@click.option("--import-s", type=click.FloatRange(min=0), default=2.0, show_default=True, metavar="SECONDS",
              help="The import time of the handler's module.")  # fmt: skip
@report.options
def main(kills: int, import_s: float, where: str, json_path: Path | None) -> None:
    """Milliseconds until a killed worker whose module is slow to import is replaced."""
    few = 1 + kills // 10
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        respawned = {"on": measure(on, "on", kills, import_s), "off": measure(on, "off", few, import_s)}
        balance = report.balance(on, QUEUE, kills + few, acked_before)
    results: dict[str, Any] = {
        "benchmark": "respawn",
        "conditions": facts,
        "settings": {"kills": kills, "import_s": import_s},
        "respawn_ms": {
            preload: {"median": round(1000 * statistics.median(took_s), 2), "max": round(1000 * max(took_s), 2)}
            for preload, took_s in respawned.items()
        },
        "all_ms": {preload: [round(1000 * each_s, 2) for each_s in took_s] for preload, took_s in respawned.items()},
        "balance": balance,
    }
    rows = [
        [f"preload {preload}, {len(took_s)} kills", *(f"{ms:,.1f}" for ms in results["respawn_ms"][preload].values())]
        for preload, took_s in respawned.items()
    ]
    report.publish(results, ["ms until it works again", "median", "max"], rows, json_path)


if __name__ == "__main__":
    main()
