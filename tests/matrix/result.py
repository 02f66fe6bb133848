"""The results of a row's tests, and whether they meet the row's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence

from tests.matrix.collector import FAILED, PASSED, SKIPPED, Outcome
from tests.matrix.row import Row
from tests.support.figures import FINISHED, LEFT, LOST, REPEATED


@dataclass(frozen=True)
class Result:
    """One row and the outcomes of its tests by node id."""

    row: Row
    outcomes: Mapping[str, Outcome]

    @property
    def recovery_s(self) -> List[float]:
        """All recovery times, the shortest first."""
        return sorted(second for outcome in self.outcomes.values() for second in outcome.recovery_s)

    def recovered_within_s(self, share: float) -> float | None:
        """The shortest time within which this share of all recoveries ended; None if none was measured."""
        times = self.recovery_s
        return times[max(0, math.ceil(len(times) * share) - 1)] if times else None

    def total(self, figure: str) -> int | None:
        """The sum over all tests that reported this figure; None if none did."""
        given = [outcome.figures[figure] for outcome in self.outcomes.values() if figure in outcome.figures]
        return sum(given) if given else None

    def count(self, result: str) -> int:
        return sum(outcome.result == result for outcome in self.outcomes.values())

    @property
    def problems(self) -> List[str]:
        """Why the row failed; empty if it holds."""
        row, p99_s = self.row, self.recovered_within_s(0.99)
        found = [f"failed: {node_id}" for node_id, outcome in self.outcomes.items() if outcome.result == FAILED]
        if row.tests and not self.count(PASSED) and not found:
            found.append(f"no test has run, {self.count(SKIPPED)} were skipped")
        if self.total(LOST):
            found.append(f"{self.total(LOST)} messages are lost")
        if row.below_s is not None and not found and (p99_s is None or p99_s >= row.below_s):
            found.append(f"recovery is not below {row.below_s:.4g} s: p99 is {p99_s} s")
        if row.drained and self.total(LEFT) != 0:
            found.append(f"not drained: {self.total(LEFT)} messages are left")
        if row.finished_stay and self.total(FINISHED) != 0:
            found.append(f"{self.total(FINISHED)} finished messages have run again")
        return found

    def as_json(self) -> Dict[str, object]:
        return {
            "row": self.row.name,
            "fault": self.row.fault,
            "problems": self.problems,
            "since": self.row.since,
            "below_s": self.row.below_s,
            "recovery_p50_s": self.recovered_within_s(0.5),
            "recovery_p99_s": self.recovered_within_s(0.99),
            "recovery_s": self.recovery_s,
            **{name: self.total(name) for name in (LOST, LEFT, REPEATED, FINISHED)},
            "tests": {node_id: outcome.result for node_id, outcome in self.outcomes.items()},
        }


def results(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> List[Result]:
    """The result of each row."""
    return [Result(row, {name: outcome for name, outcome in outcomes.items() if row.has(name)}) for row in rows]
