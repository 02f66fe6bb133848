"""How much memory a process has, and whether a limit leaves any to work with."""

from __future__ import annotations

from typing import Callable

import psutil

from bizzmq.workers.config import WorkerConfig

MEGABYTE = 1024 * 1024
RSS = "rss"
PSS = "pss"


def reader(metric: str) -> Callable[[psutil.Process], int]:
    """How to measure a process, in bytes: by `rss`, or by `pss`, which counts shared pages by their sharers."""
    if metric == PSS:
        return lambda process: int(process.memory_full_info().pss)
    return lambda process: int(process.memory_info().rss)


def limit_below_start(config: WorkerConfig) -> str:
    """Why a worker would pass a memory limit before its first message, or "".

    Measures this process, which has imported the handler and handled nothing yet. Only by RSS: by PSS a worker is
    smaller than the process that it is forked from.
    """
    limit_mb, option = config.kill_memory_mb, "kill_memory_mb"
    if config.max_memory_mb:
        limit_mb, option = config.max_memory_mb, "max_memory_mb"  # the lower one of the two
    if not limit_mb or config.memory_metric != RSS:
        return ""
    here_mb = reader(RSS)(psutil.Process()) / MEGABYTE
    if here_mb < limit_mb:
        return ""
    return f"{option} is {limit_mb:g}, but a process has {here_mb:.0f} MB once the handler is imported: raise it"
