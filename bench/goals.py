"""The goals of BizzMQ and whether it reached them: each goal is a ratio or a share measured within one run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Mapping, Sequence

from bench.fair.stats import Estimate

AT_LEAST, AT_MOST = ">=", "<="


@dataclass(frozen=True)
class Goal:
    """One goal and its figure. `note` names what it was compared with, with units.

    `floor` is the noise floor of its run as a share: a figure closer to the limit decides nothing.
    """

    name: str
    sense: str
    limit: float
    found: Estimate
    note: str = ""
    floor: float = 0.0

    @property
    def passed(self) -> bool:
        return self.found.value >= self.limit if self.sense == AT_LEAST else self.found.value <= self.limit

    @property
    def sure(self) -> bool:
        """Whether the whole interval is on one side of the limit, and the figure is outside the noise floor."""
        is_close = self.limit > 0 and abs(self.found.value / self.limit - 1) < self.floor
        return not is_close and not self.found.low < self.limit < self.found.high

    @property
    def verdict(self) -> str:
        return ("pass" if self.passed else "FAIL") + ("" if self.sure else ", not sure")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "sure": self.sure}


def from_json(stored: Mapping[str, Any]) -> Goal:
    """Read the output of `to_json`."""
    found = Estimate(**stored["found"])
    return Goal(stored["name"], stored["sense"], stored["limit"], found, stored["note"], stored["floor"])


def exactly(value: float) -> Estimate:
    """A figure without an interval: counted, or measured once."""
    return Estimate(value, value, value)


def rows(goals: Sequence[Goal]) -> list[list[str]]:
    """The lines of the table."""
    return [
        [goal.name, f"{goal.sense} {goal.limit:g}", f"{goal.found.value:,.3g}",
         f"{goal.found.low:,.3g} to {goal.found.high:,.3g}", goal.verdict, goal.note]
        for goal in goals
    ]  # fmt: skip


HEADINGS = ["goal", "limit", "measured", "95% interval", "", "compared with"]


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns of text: the first left-aligned, the last unaligned, the others right-aligned."""
    widths = [max(len(line[column]) for line in (headings, *lines)) for column in range(len(headings))]
    shown = []
    for line in (headings, *lines):
        middle = [text.rjust(width) for text, width in zip(line[1:-1], widths[1:-1])]
        shown.append("  ".join([line[0].ljust(widths[0]), *middle, line[-1]]).rstrip())
    return "\n".join(shown)
