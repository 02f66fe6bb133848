"""How soon a worker with a slow import is back at work: the second half of bench/memory.py.

    python -m bench.respawn URL PRELOAD

is its pool: as bizzmq-worker with one worker, but a killed one is always replaced at once. Twenty kills in a row
would otherwise measure how long the pool waits before it starts the next one.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import click

from bench.handlers import NOTES
from bench.notes import Ledger, Pipe
from bench.pool import PATIENCE_S, started
from bench.server import QUEUE, Server
from bizzmq import logs
from bizzmq.workers import Supervisor, WorkerConfig

IMPORT_S = 2.0
"""How long bench.slow_import takes to import."""


def measure(on: Server, preload: str, kills: int) -> list[float]:
    """Seconds from each SIGKILL of an idle worker to the start of the next worker's first message."""
    book, took_s = Ledger(), []
    with tempfile.TemporaryDirectory(prefix="bizzmq-bench-") as name:
        pipe = Pipe(Path(name) / "notes", book)
        with started(["-m", "bench.respawn", on.url, preload], **{NOTES: str(Path(name) / "notes")}) as pool:
            for number in range(kills):
                pool.wait_idle(on, 1)
                victim = pool.workers()[-1]
                begin_s = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                message = on.mq.publish_message_to_queue(QUEUE, {"seconds": 0.0})
                while message not in book.ended:
                    pool.check()
                    pipe.read(0.1)
                    if time.monotonic() - begin_s > PATIENCE_S:
                        raise click.ClickException(f"no worker after kill {number + 1}")
                took_s.append(book.started_s[message] - begin_s)
            if pool.stop() != 0:
                raise click.ClickException("the pool has ended badly")
        pipe.close()
    return took_s


def main(url: str, preload: str) -> int:
    """Run the pool until SIGTERM; its exit code."""
    logs.configure("info", "json")
    config = WorkerConfig(
        handler="bench.slow_import:sleeping",
        queues=[QUEUE],
        concurrency=1,
        redis_url=url,
        respawn_s=0.0,
        preload=preload,
    )
    return Supervisor(config).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
