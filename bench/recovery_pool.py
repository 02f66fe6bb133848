"""The pool of bench/recovery.py: like bizzmq-worker, but without back-off of slots and circuit breaker.

    python -m bench.recovery_pool URL WORKERS

Otherwise two hundred kills in a row would measure the back-off before the next worker starts, and the pause of a queue
whose messages all seem to kill workers.
"""

from __future__ import annotations

import sys

from bench.server import QUEUE
from bizzmq.utils import logs
from bizzmq.workers import Supervisor, WorkerConfig
from bizzmq.workers.supervisor import circuit_breaker


def main(url: str, workers: int) -> int:
    """Run the pool until SIGTERM and return its exit code."""
    logs.configure("info", "json")
    circuit_breaker.WINDOW = sys.maxsize
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
