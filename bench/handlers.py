"""Handlers of the pools that are measured."""

from __future__ import annotations

import os
import time
from typing import Any

from bizzmq import Context

NOTES = "BENCH_NOTES"
"""The environment variable with the path of the named pipe that `sleeping` writes to."""
IMPORT_TIME = "BENCH_IMPORT_S"
"""The one with the seconds that bench.slow_import takes to import."""

_pipe = -1


def noop(_body: Any) -> None:
    """Nothing: what is left is what the pool itself costs."""


def sleeping(body: Any, context: Context) -> None:
    """Sleep for body["seconds"]; note the start and the end, each with id, pid and monotonic seconds."""
    _note("start", context)
    time.sleep(body["seconds"])
    _note("end", context)


def _note(what: str, context: Context) -> None:
    """One write each, so that lines of several workers do not mix and SIGKILL leaves whole ones."""
    global _pipe  # noqa: PLW0603 - opened once in each worker, after the fork
    if _pipe < 0:
        _pipe = os.open(os.environ[NOTES], os.O_WRONLY)
    os.write(_pipe, f"{what} {context.id} {os.getpid()} {time.monotonic():.6f}\n".encode("ascii"))
