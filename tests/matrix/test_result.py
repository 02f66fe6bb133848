"""The result of a row: a row that does not hold is reported, and its figures are the measured ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bizzmq.testing.ledger import Ledger
from tests.matrix.collector import EXPECTED, FAILED, PASSED, SKIPPED, Outcome
from tests.matrix.result import Result
from tests.matrix.row import Row
from tests.matrix.table import cells, markdown, text
from tests.support.figures import FINISHED, LEFT, LOST, REPEATED, Figures, repetitions
from tests.support.paths import ROOT

GOOD = Outcome(PASSED, 1.0, [0.01], {LOST: 0, LEFT: 0, REPEATED: 1, FINISHED: 0})


def _row(**options: Any) -> Row:
    return Row("P0", "a fault", ("faults/test_x.py",), **options)


def _result(*outcomes: Outcome, **options: Any) -> Result:
    return Result(_row(**options), {f"tests/faults/test_x.py::test_{n}": one for n, one in enumerate(outcomes)})


@pytest.mark.parametrize(
    ("outcomes", "options", "problem"),
    [
        ([GOOD, Outcome(FAILED)], {}, "failed: tests/faults/test_x.py::test_1"),
        ([], {}, "no test has run"),
        ([Outcome(SKIPPED), Outcome(EXPECTED)], {}, "no test has run"),
        ([GOOD, Outcome(figures={LOST: 2})], {}, "2 messages are lost"),
        ([GOOD], {"below_s": 0.01}, "recovery is not below 0.01 s"),
        ([Outcome()], {"below_s": 1.0}, "recovery is not below 1 s"),
        ([Outcome(figures={LEFT: 3})], {"drained": True}, "3 messages are left"),
        ([Outcome()], {"drained": True}, "None messages are left"),
        ([Outcome(figures={FINISHED: 1})], {"finished_stay": True}, "1 finished messages have run again"),
    ],
)
def test_a_row_that_does_not_hold_has_the_reasons(
    outcomes: list[Outcome], options: dict[str, Any], problem: str
) -> None:
    result = _result(*outcomes, **options)

    assert problem in " ".join(result.problems)
    assert cells(result)[2] == "FAILED"
    assert problem in text([result])


def test_a_row_that_holds_is_ok_and_its_tests_figures_are_put_together() -> None:
    slow = Outcome(recovery_s=[number / 100 for number in range(1, 200)])
    result = _result(GOOD, slow, Outcome(SKIPPED), below_s=2.0, drained=True, finished_stay=True)

    assert not result.problems
    assert cells(result) == ["P0", "a fault", "ok", "2/2", "200", "990 ms", "1.97 s", "0", "1", "0"]
    assert "1 tests were skipped" in text([result])
    assert "| P0 | a fault | ok | 2/2 |" in markdown([result], "here")


def test_a_row_without_tests_is_not_tested_and_has_the_reason() -> None:
    result = Result(Row("P0", "a fault", (), remark="2026-11-24: no way"), {})

    assert not result.problems
    assert cells(result)[2] == "not tested"
    assert "P0: 2026-11-24: no way" in text([result])


def test_a_retry_is_not_a_repetition_and_a_run_after_a_success_is_counted_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for name, outcomes in {"retried": ("error", "ok"), "interrupted": ("", "ok"), "again": ("ok", "ok")}.items():
        for outcome in outcomes:
            ledger.record("start", name, delivery=1)
            if outcome:
                ledger.record("end", name, outcome=outcome)

    assert repetitions(ledger) == (2, 1)


def test_the_last_value_of_a_figure_counts_and_every_recovery() -> None:
    properties: list[tuple[str, object]] = [("other", 1)]
    figures = Figures(properties)
    for number in (2, 1):
        figures.recovered(number)
        figures.lost(number)

    assert properties == [("other", 1), ("recovery_s", 2), ("recovery_s", 1), (LOST, 1)]


def test_the_command_runs_a_row_and_writes_its_table(tmp_path: Path) -> None:
    files = [f"--json={tmp_path / 'json'}", f"--markdown={tmp_path / 'markdown'}"]
    command = [sys.executable, "-m", "tests.matrix", "--rows=D6", *files, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads((tmp_path / "json").read_text(encoding="utf-8"))["rows"]
    assert row["problems"] == []
    assert set(row["tests"].values()) == {PASSED}
    assert all("test_an_error_that_is_hard_to_render" in name for name in row["tests"])
    assert "| D6 |" in (tmp_path / "markdown").read_text(encoding="utf-8")
    assert "\nD6 " in done.stdout
