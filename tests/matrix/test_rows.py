"""The rows of the matrix: each names tests that exist, and the documentation has the same rows."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Callable

import pytest

from tests.matrix.row import Row
from tests.matrix.rows import ROWS, chosen, remarks, table
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "internals" / "reliability.md"
DATE = re.compile(r"20\d\d-\d\d-\d\d: ")


def test_every_row_names_tests_that_exist_and_every_fault_test_belongs_to_a_row() -> None:
    files = sorted({"tests/faults", *(file for row in ROWS for file in row.files)})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-n0",
        "-m",
        "",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = [line for line in done.stdout.splitlines() if "::" in line]

    missing = [f"{row.name}: {test}" for row in ROWS for test in row.tests if not any(map(_only(test), collected))]
    assert not missing
    faults = [name for name in collected if name.startswith("tests/faults/")]
    assert [name for name in faults if not any(row.has(name) for row in ROWS)] == []


def test_the_rows_are_those_of_the_catalogue_of_faults_each_once() -> None:
    counts = {"P": 38, "R": 26, "D": 11, "T": 3, "O": 3, "S": 10}

    assert [row.name for row in ROWS] == [f"{kind}{n}" for kind, last in counts.items() for n in range(1, last + 1)]


def test_a_row_without_tests_has_the_reason_and_its_date() -> None:
    assert all(row.tests or row.remark for row in ROWS)
    assert all(DATE.match(row.remark) for row in ROWS if row.remark)


@pytest.mark.skipif(not PAGE.exists(), reason="no checkout: docs/ is missing here")
def test_the_documentation_has_the_same_rows() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert "\n".join(table()) in page, "python -m tests.matrix --list"
    assert "\n".join(remarks()) in page, "python -m tests.matrix --list"


def test_rows_are_chosen_by_name_and_kept_in_order() -> None:
    assert [row.name for row in chosen(["R16", "P1"])] == ["P1", "R16"]
    assert len(chosen([])) == len(ROWS)
    with pytest.raises(ValueError, match="P99"):
        chosen(["P99", "P1"])


def _only(test: str) -> Callable[[str], bool]:
    return Row("", "", (test,)).has
