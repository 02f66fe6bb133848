"""The page of libraries: a run of one row changes one line."""

from __future__ import annotations

from tests.libraries.page import PAGE, merged
from tests.libraries.rows import EACH, ROWS
from tests.libraries.runner import Result


def test_a_result_replaces_its_own_line_and_no_other() -> None:
    page = PAGE.read_text(encoding="utf-8")
    row = ROWS[0]

    after = merged(page, Result(row, "library 9.9", EACH))

    assert set(after.splitlines()) - set(page.splitlines()) == {
        f"| `{row.handler}` | library 9.9 | {EACH} | {row.note} |"
    }
    assert len(after.splitlines()) == len(page.splitlines())


def test_a_row_whose_programs_are_missing_changes_nothing() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert merged(page, Result(ROWS[0], missing="ffmpeg")) == page
