"""Measurements of a test for the table of `python -m tests.matrix`, sent with pytest's report of the test."""

from __future__ import annotations

from itertools import groupby
from typing import List, Sequence, Tuple

from bizzmq.testing.ledger import Ledger, Run

RECOVERY, LOST, LEFT, REPEATED, FINISHED = "recovery_s", "lost", "left", "repeated", "finished"

Properties = List[Tuple[str, object]]


class Figures:
    """Writes into the user properties of a test's report."""

    def __init__(self, properties: Properties) -> None:
        self._properties = properties

    def recovered(self, seconds: float) -> None:
        """Add one recovery time."""
        assert seconds >= 0, f"{seconds} s: the measured time ended before it started"
        self._properties.append((RECOVERY, round(seconds, 6)))

    def lost(self, messages: int) -> None:
        """Set the number of published messages that are neither handled nor stored."""
        self._set(LOST, messages)

    def left(self, messages: int) -> None:
        """Set the number of messages that are still to be handled."""
        self._set(LEFT, messages)

    def repeated(self, runs: int, finished: int) -> None:
        """Set the number of repeated runs that are not retries, and how many of them repeated a success."""
        self._set(REPEATED, runs)
        self._set(FINISHED, finished)

    def _set(self, name: str, value: int) -> None:
        self._properties[:] = [one for one in self._properties if one[0] != name]
        self._properties.append((name, value))


def repetitions(ledger: Ledger) -> tuple[int, int]:
    """The number of runs that repeat a run which did not fail, and how many of these repeat a success."""
    runs = sorted(ledger.runs(), key=lambda run: (run.id, run.start.time_s))
    by_message = [list(group) for _, group in groupby(runs, key=lambda run: run.id)]
    pairs = [(of_one[:place], of_one[place]) for of_one in by_message for place in range(1, len(of_one))]
    finished = sum(any(run.succeeded and _ended_before(run, again) for run in earlier) for earlier, again in pairs)
    return sum(not _is_retry(earlier, again) for earlier, again in pairs), finished


def _is_retry(earlier: Sequence[Run], again: Run) -> bool:
    last = earlier[-1]
    return _ended_before(last, again) and not last.succeeded


def _ended_before(run: Run, other: Run) -> bool:
    return run.end is not None and run.end.time_s <= other.start.time_s
