"""Updates the table in docs/operations/libraries.md: a new result replaces the row's earlier one."""

from __future__ import annotations

from typing import Iterator, Mapping

from tests.libraries.rows import KINDS, Row
from tests.libraries.runner import Result
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "operations" / "libraries.md"
_BEGIN, _END = "<!-- rows -->\n", "<!-- end of rows -->"
_HEAD = ("| handler | libraries | by default | to know |", "| --- | --- | --- | --- |")


def write(result: Result) -> None:
    """Write a result into the page."""
    PAGE.write_text(merged(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")


def merged(text: str, result: Result) -> str:
    """The page with this result. Other rows keep theirs; rows that were never tried are left out."""
    before, _, rest = text.partition(_BEGIN)
    old, _, after = rest.partition(_END)
    tried = {**_tried(old), **({} if result.missing else {result.row.handler: _cells(result)})}
    return f"{before}{_BEGIN}{''.join(_tables(tried))}{_END}{after}"


def _tried(table: str) -> Mapping[str, tuple[str, str]]:
    """Versions and preload by handler, according to the page."""
    lines = (line.split("|") for line in table.splitlines() if line.startswith("| `"))
    return {cells[1].strip(" `"): (cells[2].strip(), cells[3].strip()) for cells in lines}


def _cells(result: Result) -> tuple[str, str]:
    return result.versions or "-", "**fails**" if result.problem else result.preload


def _tables(tried: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for kind, rows in KINDS.items():
        lines = [_line(row, *tried[row.handler]) for row in rows if row.handler in tried]
        if lines:
            yield "\n".join([f"\n### {kind}\n", *_HEAD, *lines, ""])


def _line(row: Row, versions: str, preload: str) -> str:
    return f"| `{row.handler}` | {versions} | {preload} | {row.note} |"
