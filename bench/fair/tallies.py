"""Reads the counts of the handlers (see peers/apps/tally.py)."""

from __future__ import annotations

import array
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from bench.peers.apps import tally


@dataclass(frozen=True)
class Run:
    """One run of a handler: the worker's slot, and monotonic seconds."""

    slot: int
    began_s: float
    ended_s: float


class Tallies:
    """All slots in a directory; each id is a number less than `capacity`."""

    def __init__(self, directory: Path, capacity: int) -> None:
        self._directory = directory
        self.capacity = capacity

    def slots(self) -> list[Path]:
        """The slots of the processes that have handled a message."""
        return sorted(path for path in self._directory.glob("slot-*") if path.stat().st_size)

    def handled(self, ids: range) -> int:
        """The number of these ids that were handled; an id handled by two workers counts twice."""
        columns = [self._seen(path, ids.start, len(ids)) for path in self.slots()]
        return sum(len(column) - column.count(0) for column in columns)

    def counts(self) -> Sequence[int]:
        """How often each id was handled."""
        columns = [self._seen(path) for path in self.slots()]
        return [sum(column) for column in zip(*columns)] if columns else [0] * self.capacity

    def runs(self, ids: range) -> Mapping[int, Run]:
        """The run of each id with timestamps."""
        found = {}
        for number, path in enumerate(self.slots()):
            began_s, ended_s = self._stamps(path)
            for n in ids:
                if ended_s[n]:
                    found[n] = Run(number, began_s[n], ended_s[n])
        return found

    def _seen(self, path: Path, first: int = 0, count: int = -1) -> bytes:
        with path.open("rb") as file:
            file.seek(first)
            return file.read(count if count >= 0 else self.capacity)

    def slot_that_began(self, number: int) -> Path | None:
        """The slot of the worker that started this id."""
        return next((path for path in self.slots() if self._stamps(path)[0][number]), None)

    def begun_after(self, number: int, since_s: float) -> float | None:
        """When a worker started this id, if that was later than `since_s`. Monotonic seconds."""
        times = (self._stamps(path)[0][number] for path in self.slots())
        return next((at_s for at_s in times if at_s > since_s), None)

    def _stamps(self, path: Path) -> tuple[array.array[float], array.array[float]]:
        began_s, ended_s = array.array("d"), array.array("d")
        with path.open("rb") as file:
            file.seek(tally.stamps_at(self.capacity))
            began_s.frombytes(file.read(8 * self.capacity))
            ended_s.frombytes(file.read(8 * self.capacity))
        return began_s, ended_s


def check(counts: Sequence[int], published: int) -> dict[str, int]:
    """The exact balance of ids 0 to `published`: lost ids, and ids that ran more than once."""
    of_ours = counts[:published]
    return {
        "published": published,
        "handled": sum(of_ours),
        "lost": sum(count == 0 for count in of_ours),
        "duplicated": sum(count > 1 for count in of_ours),
        "foreign": sum(counts[published:]),
    }
