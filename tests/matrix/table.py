"""The table of results, for a terminal and as Markdown."""

from __future__ import annotations

from typing import List, Sequence

from tests.matrix.collector import EXPECTED, PASSED, SKIPPED
from tests.matrix.result import Result
from tests.support.figures import FINISHED, LOST, REPEATED

HEADINGS = ("row", "fault", "result", "tests", "recoveries", "p50", "p99", "lost", "duplicated", "of finished")
_FAULT_WIDTH = 60
LEGEND = (
    "recovery counts from what docs/internals/reliability.md says; lost: published, and neither handled nor stored;",
    "duplicated: runs beyond a message's first that no failure of its handler explains;",
    "of finished: those of them whose message had succeeded before; -: not measured by the row's tests",
)


def cells(result: Result) -> List[str]:
    """The cells of one row."""
    p50_s, p99_s = (result.recovered_within_s(share) for share in (0.5, 0.99))
    return [
        result.row.name,
        result.row.fault,
        _verdict(result),
        f"{result.count(PASSED)}/{len(result.outcomes) - result.count(SKIPPED)}",
        _number(len(result.recovery_s) or None),
        _time(p50_s),
        _time(p99_s),
        *(_number(result.total(name)) for name in (LOST, REPEATED, FINISHED)),
    ]


def text(results: Sequence[Result]) -> str:
    """The table for a terminal, with failed and skipped tests."""
    rows = [list(HEADINGS), *(cells(result) for result in results)]
    for row in rows:
        row[1] = row[1] if len(row[1]) <= _FAULT_WIDTH else row[1][: _FAULT_WIDTH - 3] + "..."
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(_aligned(cell, column, width) for column, (cell, width) in enumerate(zip(row, widths)))
             for row in rows]  # fmt: skip
    return "\n".join([*(line.rstrip() for line in lines), "", *LEGEND, *_notes(results)])


def markdown(results: Sequence[Result], conditions: str) -> str:
    """The table as a Markdown file."""
    align = ["---"] * 3 + ["---:"] * (len(HEADINGS) - 3)
    lines = [f"| {' | '.join(row)} |" for row in (HEADINGS, align, *(cells(result) for result in results))]
    notes = [f"- {note}" for note in _notes(results)]
    return "\n".join(["# The fault matrix", "", f"{conditions}; {' '.join(LEGEND)}.", "", *lines, "", *notes]) + "\n"


def _verdict(result: Result) -> str:
    if not result.row.tests:
        return "not tested"
    return "FAILED" if result.problems else "ok"


def _notes(results: Sequence[Result]) -> List[str]:
    notes = [f"{result.row.name}: {problem}" for result in results for problem in result.problems]
    notes += [f"{result.row.name}: {result.row.remark}" for result in results if not result.row.tests]
    notes += [
        f"{result.row.name}: failed as expected: {node_id}"
        for result in results
        for node_id, one in result.outcomes.items()
        if one.result == EXPECTED
    ]
    skipped = {node_id for result in results for node_id, one in result.outcomes.items() if one.result == SKIPPED}
    return notes + ([f"{len(skipped)} tests were skipped here"] if skipped else [])


def _aligned(cell: str, column: int, width: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
