"""Processes that begin together."""

from __future__ import annotations

import multiprocessing
from typing import Any, Callable, Sequence

_FORK: Any = multiprocessing.get_context("fork")
_PATIENCE_S = 120.0


def counter() -> Any:
    """A number that they share, with a lock."""
    return _FORK.Value("i", 0)


def in_processes(targets: Sequence[Callable[..., None]], *arguments: Any) -> list[Any]:
    """Run each in a process of its own, started together by a barrier; what each has put into the queue."""
    barrier, results = _FORK.Barrier(len(targets)), _FORK.Queue()
    processes = [_FORK.Process(target=target, args=(barrier, results, number, *arguments))
                 for number, target in enumerate(targets)]  # fmt: skip
    for process in processes:
        process.start()
    found = [results.get(timeout=_PATIENCE_S) for _ in targets]
    for process in processes:
        process.join()
    return found
