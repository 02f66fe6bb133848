"""A process that is forked twice is told to leave by the death of its adopter, not of the process between."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a signal at a parent's death is Linux's")

# The process between dies when the other one has looked for its adopter three times.
ADOPTER = """
import os, signal
from bizzmq.workers.process import syscalls

syscalls.adopt_orphans()
adopter, (looked, looks), (is_ready, ready) = os.getpid(), os.pipe(), os.pipe()
if os.fork():
    os.read(is_ready, 1)
    os._exit(0)
if os.fork():
    for _ in range(3):
        os.read(looked, 1)
    os._exit(0)

def is_gone():
    os.write(looks, b".")
    return False

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
syscalls.die_with_adopter(adopter, signal.SIGTERM, is_gone, patience_s=60.0)
print("adopted:", os.getppid() == adopter, "told to leave:", signal.SIGTERM in signal.sigpending(), flush=True)
os.write(ready, b".")
print("told to leave:", signal.sigwait({signal.SIGTERM}) == signal.SIGTERM, flush=True)
"""


def test_the_death_of_the_process_between_tells_nobody_to_leave() -> None:
    done = subprocess.run([sys.executable, "-c", ADOPTER], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "adopted: True told to leave: False\ntold to leave: True\n"
