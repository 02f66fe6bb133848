"""The columns of a row: what is measured of the messages of one task of one queue.

A histogram has a sum and a count for each range of times, whose bounds are 1, 2 and 5 times a power of ten.
"""

from __future__ import annotations

from typing import Tuple

OUTCOMES = (
    "succeeded", "retried", "dead_lettered", "discarded", "cancelled", "released", "crashed", "killed",
)  # fmt: skip
"""How an attempt can end. `released` goes back without blame, `crashed` took its worker along, `killed` passed a
limit that ended its worker."""
CAUSES = (
    "oom", "sigkill", "sigsegv", "sigabrt", "signal", "exit", "timeout", "cpu_limit", "memory_limit", "cancelled",
    "ended",
)  # fmt: skip
"""Why a worker can die: killed by the kernel for memory, by a signal, by its own exit, for a limit that its message
has passed, for a cancel, or `ended` by its supervisor for another reason."""
BOUNDS_S: Tuple[float, ...] = tuple(
    round(step * 10.0**power, -power) for power in range(-5, 5) for step in (1, 2, 5)
)  # fmt: skip
"""The upper bounds of the ranges of a histogram, seconds: 10 microseconds to 50,000 s. The last range has none."""
RANGES = len(BOUNDS_S) + 1

RUN = len(OUTCOMES)
"""The first column of a histogram is its sum in seconds; its ranges follow."""
WAIT = RUN + 1 + RANGES
CPU = WAIT + 1 + RANGES
MEMORY = CPU + 1 + RANGES
"""The highest memory peak of a worker that has grown while a message of the row ran, bytes."""
DEATHS = MEMORY + 1
"""The first of the columns of `CAUSES`."""
COLUMNS = DEATHS + len(CAUSES)
SUMS = frozenset((RUN, WAIT, CPU))
"""The columns that are seconds. All others but MEMORY are counts."""

MOST_TASKS = 100
"""The tasks of a queue that have rows of their own, in the order in which they are first seen."""
OTHER = "other"
"""The name of the row of all further tasks, and of messages of tasks that the worker does not know."""
KEY_PREFIX = "\x1f"
"""Begins the name of a row of all messages with one key, which follows. They are in the rows of their tasks, too."""
MOST_KEYS = 100
"""As MOST_TASKS, of keys."""


def is_key(name: str) -> bool:
    """Whether a row of this name is of a key."""
    return name.startswith(KEY_PREFIX)


def other_of(name: str) -> str:
    """The name of the row that takes what finds none of its own: that of other keys, or of other tasks."""
    return KEY_PREFIX + OTHER if is_key(name) else OTHER


def most_of(name: str) -> int:
    """How many rows of this kind a queue has at most, beside that of the others."""
    return MOST_KEYS if is_key(name) else MOST_TASKS
