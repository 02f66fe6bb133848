"""The demo's handler: CPU-bound work, with a line in a ledger before and after it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Mapping

from bizzmq.context import Context

LEDGER = "BIZZMQ_DEMO_LEDGER"
_files: dict[int, int] = {}


def count_primes(body: Mapping[str, Any], context: Context) -> None:
    """Count the primes below `body["below"]` by trial division, and compare the result with `body["primes"]`."""
    note(f"start {context.id} {time.monotonic():.6f}\n")
    found = sum(1 for n in range(2, body["below"]) if all(n % d for d in range(2, int(n**0.5) + 1)))
    if found != body["primes"]:
        raise ValueError(f"{found} primes below {body['below']}, not {body['primes']}")
    note(f"end {context.id} {time.monotonic():.6f}\n")


def note(line: str) -> None:
    """Append a line to this process's file with one write, so that SIGKILL leaves complete lines."""
    pid = os.getpid()
    if pid not in _files:
        path = Path(os.environ[LEDGER]) / str(pid)
        _files[pid] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(_files[pid], line.encode("ascii"))
