"""Processes that start together."""

from __future__ import annotations

import multiprocessing
from typing import Any, Callable, Sequence

_FORK: Any = multiprocessing.get_context("fork")
_PATIENCE_S = 120.0


def counter() -> Any:
    """A shared number with a lock."""
    return _FORK.Value("i", 0)


def in_processes(targets: Sequence[Callable[..., None]], *arguments: Any) -> list[Any]:
    """Run each function in a process, released by one barrier; returns what each has put into the queue."""
    barrier, results = _FORK.Barrier(len(targets)), _FORK.Queue()
    processes = [_FORK.Process(target=target, args=(barrier, results, number, *arguments))
                 for number, target in enumerate(targets)]  # fmt: skip
    for process in processes:
        process.start()
    found = [results.get(timeout=_PATIENCE_S) for _ in targets]
    for process in processes:
        process.join()
    return found
