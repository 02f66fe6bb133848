"""All rows of the fault matrix."""

from __future__ import annotations

from typing import Sequence

from tests.matrix.others import DATA, SECURITY, TIME_AND_OUTPUT
from tests.matrix.outages import OUTAGES
from tests.matrix.processes import PROCESSES
from tests.matrix.row import Row
from tests.matrix.servers import SERVERS

ROWS = (*PROCESSES, *OUTAGES, *SERVERS, *DATA, *TIME_AND_OUTPUT, *SECURITY)


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows with these names, or all, in the order of the matrix. Raises ValueError for an unknown name."""
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        raise ValueError(f"there is no row {', '.join(sorted(unknown))}")
    return [row for row in ROWS if not names or row.name in names]


def table() -> list[str]:
    """The lines of docs/internals/reliability.md that list the tests of each row."""
    lines = ["| row | fault | recovery counts from | tests |", "| --- | --- | --- | --- |"]
    for row in ROWS:
        bound = f", below {row.below_s:.4g} s" if row.below_s is not None else ""
        files = ", ".join(f"`{file[len('tests/') :]}`" for file in row.files) or "none"
        lines.append(f"| {row.name} | {row.fault} | {row.since}{bound} | {files} |")
    return lines


def remarks() -> list[str]:
    """The lines of docs/internals/reliability.md that list which rows are tested less than their names promise."""
    return [f"| {row.name} | {row.remark} |" for row in ROWS if row.remark]
