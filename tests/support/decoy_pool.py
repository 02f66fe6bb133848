"""A fake pool for the tests of the fault kit: `python -m tests.support.decoy_pool`.

It forks a janitor and workers that do nothing, logs and registers them, and ends them on SIGTERM. With
DECOY=leave it leaves behind a process in a session of its own; with DECOY=broken it cannot start.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

from redis import Redis

from bizzmq.testing.layout import Keys


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queue")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--redis-url")
    parser.add_argument("handler")
    options = parser.parse_args()
    decoy = os.environ.get("DECOY", "")
    if decoy == "broken":
        raise RuntimeError("asked to be broken")
    if decoy == "leave":
        subprocess.Popen(["sleep", "60"], start_new_session=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    children = [start_child("janitor")] + [start_child("worker") for _ in range(options.concurrency)]
    with Redis.from_url(options.redis_url, protocol=2) as client:
        for pid in children[1:]:
            client.hset(Keys(options.queue).workers, f"decoy.{pid}", "decoy")
    signal.sigwait([signal.SIGTERM])
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return 0


def start_child(role: str) -> int:
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        sys.stderr.write(f"INFO {role} started pid={os.getpid()} slot=1\n")
        if role == "worker":
            sys.stderr.write(f"INFO worker ready pid={os.getpid()} slot=1\n")
        sys.stderr.flush()
        while True:
            time.sleep(60)
    return pid


if __name__ == "__main__":
    sys.exit(main())
