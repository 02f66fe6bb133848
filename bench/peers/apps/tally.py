"""The counts of handlers in shared memory: each worker process maps a file of its own.

    <directory>/slot-K: a byte for each id (how often it was handled), then two doubles for each id (when its
    handler began and ended, CLOCK_MONOTONIC)

Runs in the environments of all peers, so it needs only the standard library. `python tally.py` prints how many turns
of `spin` this interpreter makes in a microsecond.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from zlib import crc32

DIRECTORY, CAPACITY, TURNS = "BENCH_TALLY", "BENCH_CAPACITY", "BENCH_TURNS_PER_US"
RESULTS = "BENCH_RESULTS"
"""Set in the environment of an arm that keeps results."""
FEATURE = "BENCH_FEATURE"
"""The feature that the messages of an arm use, in its environment; nothing if they use none."""
RESULT_TTL_S = 3600
_BLOCK = bytes(range(256)) * 16


def size_of(capacity: int) -> int:
    """The size of a slot's file in bytes."""
    return stamps_at(capacity) + 16 * capacity


def stamps_at(capacity: int) -> int:
    """The offset of the doubles."""
    return (capacity + 7) // 8 * 8


def spin(turns: int) -> int:
    """A fixed amount of work, not of time: an interruption does not make it smaller.

    It computes checksums of a block in C, with the interpreter lock held. The speed of an arithmetic loop in Python
    varies by up to 8% with the addresses of the interpreter's objects: the same loop differs between programs, and
    between a process and its fork.
    """
    value = 0
    for _ in range(turns):
        value = crc32(_BLOCK, value)
    return value


def turns_per_us() -> float:
    """The speed of `spin` without interruptions: the best of many short runs."""
    turns, best_s = 200, float("inf")
    for _ in range(60):
        begin_s = time.perf_counter()
        spin(turns)
        best_s = min(best_s, time.perf_counter() - begin_s)
    return turns / best_s / 1e6


class Slot:
    """The mapped file of one worker process."""

    def __init__(self, path: Path, capacity: int) -> None:
        self.pid = os.getpid()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        descriptor = os.open(str(path), flags, 0o600)
        os.ftruncate(descriptor, size_of(capacity))
        self._map = mmap.mmap(descriptor, size_of(capacity))
        os.close(descriptor)
        view, middle = memoryview(self._map), stamps_at(capacity)
        self.seen = view[:capacity]
        self.began_s = view[middle : middle + 8 * capacity].cast("d")
        self.ended_s = view[middle + 8 * capacity :].cast("d")


def claim() -> Slot:
    """Claim the first free slot."""
    directory, capacity = Path(os.environ[DIRECTORY]), int(os.environ[CAPACITY])
    number = 0
    while True:
        try:
            return Slot(directory / f"slot-{number}", capacity)
        except FileExistsError:
            number += 1


_slot: Slot | None = None
_pinned = False
_turns = float(os.environ.get(TURNS, "1"))
keeps_results = RESULTS in os.environ
feature = os.environ.get(FEATURE, "")
RESULT = "x" * 100
_result = RESULT if keeps_results else None


def pin() -> None:
    """Claim a slot now and share it with the children: for a worker that forks for each message."""
    global _slot, _pinned
    _slot, _pinned = claim(), True


def handle(n: int, work_us: int = 0) -> str | None:
    """The handler of every arm: count message `n`; with work, do it and store its start and end.

    Returns RESULT if the arm keeps results, else None.
    """
    global _slot  # noqa: PLW0603 - claimed after the fork
    slot = _slot
    if slot is None or (slot.pid != os.getpid() and not _pinned):
        slot = _slot = claim()
    if work_us:
        slot.began_s[n] = time.monotonic()
        spin(int(work_us * _turns))
        slot.ended_s[n] = time.monotonic()
    slot.seen[n] += 1
    return _result


if __name__ == "__main__":
    print(turns_per_us())
