"""The pool of bench/respawn.py: like bizzmq-worker with one worker, but without back-off of its slot.

    python -m bench.respawn_pool URL PRELOAD

Otherwise twenty kills in a row would measure the back-off before the next worker starts.
"""

from __future__ import annotations

import sys

from bench.server import QUEUE
from bizzmq.utils import logs
from bizzmq.workers import Supervisor, WorkerConfig


def main(url: str, preload: str) -> int:
    """Run the pool until SIGTERM and return its exit code."""
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
