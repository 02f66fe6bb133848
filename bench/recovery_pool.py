"""The pool of bench/recovery.py: as bizzmq-worker, but a killed worker is replaced at once, and no queue is closed.

    python -m bench.recovery_pool URL WORKERS

Two hundred kills in a row would otherwise measure how long the pool waits before it starts the next worker, and how
long it claims nothing from a queue whose every message seems to be deadly.
"""

from __future__ import annotations

import sys

from bench.server import QUEUE
from bizzmq import logs
from bizzmq.workers import Supervisor, WorkerConfig, breaker


def main(url: str, workers: int) -> int:
    """Run the pool until SIGTERM; its exit code."""
    logs.configure("info", "json")
    breaker.WINDOW = sys.maxsize
    config = WorkerConfig(
        handler="bench.handlers:sleeping",
        queues=[QUEUE],
        concurrency=workers,
        redis_url=url,
        respawn_s=0.01,
        respawn_max_s=0.02,
    )
    return Supervisor(config).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
