"""A pytest plugin that runs only the tests of some rows and keeps the outcome and figures of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Sequence

import pytest

from tests.matrix.row import Row
from tests.support.figures import RECOVERY

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
EXPECTED = "failed as expected"
"""A known defect: the test is marked xfail."""


@dataclass
class Outcome:
    """The outcome of one test. `figures` are the last values that it reported, without the recovery times."""

    result: str = PASSED
    seconds: float = 0.0
    recovery_s: List[float] = field(default_factory=list)
    figures: Dict[str, int] = field(default_factory=dict)


class Collector:
    """The plugin; `outcomes` has each test that was run or skipped, by its node id."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self.outcomes: Dict[str, Outcome] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: List[pytest.Item]) -> None:
        """Deselect tests that belong to no row."""
        wanted = [item for item in items if any(row.has(item.nodeid) for row in self._rows)]
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = wanted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called three times for each test: the last report, of its teardown, has all figures."""
        outcome = self.outcomes.setdefault(report.nodeid, Outcome())
        outcome.seconds += report.duration
        if report.outcome != PASSED and outcome.result != FAILED:
            outcome.result = EXPECTED if hasattr(report, "wasxfail") else report.outcome
        if report.when == "teardown":
            properties = report.user_properties
            outcome.recovery_s = [float(str(value)) for name, value in properties if name == RECOVERY]
            outcome.figures = {name: int(str(value)) for name, value in properties if name != RECOVERY}
