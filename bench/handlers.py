"""Handlers of the measured pools."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from bizzmq import Context

NOTES = "BENCH_NOTES"
"""The environment variable with the path of the named pipe for `sleeping`."""
IMPORT_TIME = "BENCH_IMPORT_S"
"""The environment variable with the import time of bench.slow_import, in seconds."""

_pipe = -1


def noop(_body: Any) -> None:
    """Do nothing: the rest is the cost of the pool itself."""


def sleeping(body: Any, context: Context) -> None:
    """Sleep for body["seconds"]; record the start and the end, each with id, pid and monotonic seconds."""
    _note("start", context)
    time.sleep(body["seconds"])
    _note("end", context)


def spinning(body: Any) -> None:
    """Count loops below some frames: for some seconds, then for as many after the pool has begun to sample."""
    seconds, to = body["seconds"], Path(body["to"])
    before = _spin(body["depth"], seconds)
    _spin(body["depth"], 2.0)
    counts = before, _spin(body["depth"], seconds)
    written = to.with_suffix(".new")
    written.write_text(json.dumps(counts), encoding="utf-8")
    written.rename(to)


def _spin(depth: int, seconds: float) -> int:
    """Count for some seconds."""
    if depth > 1:
        return _spin(depth - 1, seconds)
    count, until_s = 0, time.monotonic() + seconds
    while time.monotonic() < until_s:
        count += 1
    return count


def _note(what: str, context: Context) -> None:
    """Write one line with one call: lines of several workers do not mix, and SIGKILL leaves no partial line."""
    global _pipe  # noqa: PLW0603 - opened once in each worker, after the fork
    if _pipe < 0:
        _pipe = os.open(os.environ[NOTES], os.O_WRONLY)
    os.write(_pipe, f"{what} {context.id} {os.getpid()} {time.monotonic():.6f}\n".encode("ascii"))
