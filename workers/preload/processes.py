"""Child processes and timers that an import has started. A forked worker has neither."""

from __future__ import annotations

import os
import signal
from typing import Collection, Iterator

from bizzmq.preload import Declared
from bizzmq.workers.preload.finding import Effect, Finding

_TRACKER = b"multiprocessing.resource_tracker"
_TIMERS = (
    (signal.ITIMER_REAL, "SIGALRM (signal.alarm, ITIMER_REAL)"),
    (signal.ITIMER_VIRTUAL, "SIGVTALRM (ITIMER_VIRTUAL)"),
    (signal.ITIMER_PROF, "SIGPROF (ITIMER_PROF)"),
)


def children() -> set[int]:
    """The process ids of this process's children; empty where the kernel does not list them."""
    found: set[int] = set()
    try:
        for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - only the names are needed
            with open(f"/proc/self/task/{task}/children", "rb") as listed:  # noqa: PTH123 - many, and short
                found.update(map(int, listed.read().split()))
    except OSError:
        return found
    return found


def findings(new: Collection[int], declared: Declared) -> Iterator[Finding]:
    """The findings about new children and about running timers."""
    for pid in sorted(new):
        words = _command(pid)
        shown = b" ".join(words)[:80].decode("utf-8", "backslashreplace") or "ended, not waited for"
        if pid in declared.processes or shown in declared.names:
            yield Finding("child process", shown, Effect.DECLARED, "", pid)
        elif any(_TRACKER in word for word in words):
            yield Finding("child process", shown, Effect.HARMLESS, "multiprocessing shares it with forks", pid)
        elif not words:
            yield Finding("child process", shown, Effect.HARMLESS, "it has ended", pid)
        else:
            yield Finding("child process", shown, Effect.OFF, "all workers would talk to it over one pipe", pid)
    for which, name in _TIMERS:
        if signal.getitimer(which)[0]:
            yield Finding("timer", name, Effect.OFF, "a fork has no timers: it would never expire in a worker")
    if _posix_timers():
        yield Finding("timer", "of timer_create", Effect.OFF, "a fork has no timers: it would never expire in a worker")


def _command(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:  # noqa: PTH123 - as children
            return [word for word in line.read().split(b"\0") if word]
    except OSError:
        return []


def _posix_timers() -> bool:
    try:
        with open("/proc/self/timers", "rb") as timers:  # noqa: PTH123 - as children
            return bool(timers.read(1))
    except OSError:
        return False
