"""The pool of bench/respawn.py: as bizzmq-worker with one worker, but a killed one is always replaced at once.

    python -m bench.respawn_pool URL PRELOAD

Twenty kills in a row would otherwise measure how long the pool waits before it starts the next worker.
"""

from __future__ import annotations

import sys

from bench.server import QUEUE
from bizzmq import logs
from bizzmq.workers import Supervisor, WorkerConfig


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
