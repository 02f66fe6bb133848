"""A row of the fault matrix: a fault, the tests that inject it, and the limits of their figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

TESTS = "tests/"


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        tests: files, tests, or single cases of a test, as pytest names them, without the leading `tests/`.
        since: the event from which these tests count recovery times; "" if they measure none.
        below_s: the time within which 99 in 100 recoveries must end.
        drained: whether no message may be left to handle at the end.
        finished_stay: whether no successful message may run again.
        remark: where the tests are weaker than the fault's name, with the date; required without tests.
    """

    name: str
    fault: str
    tests: Tuple[str, ...]
    since: str = ""
    below_s: float | None = None
    drained: bool = False
    finished_stay: bool = False
    remark: str = ""

    @property
    def files(self) -> list[str]:
        """The files of its tests, without duplicates."""
        return list(dict.fromkeys(TESTS + test.split("::", 1)[0] for test in self.tests))

    def has(self, node_id: str) -> bool:
        """Whether this test belongs to the row."""
        return any(node_id == TESTS + test or node_id.startswith((f"{TESTS}{test}[", f"{TESTS}{test}::"))
                   for test in self.tests)  # fmt: skip


def tests_of(file: str, *names: str) -> Tuple[str, ...]:
    """Tests of one file."""
    return tuple(f"{file}::test_{name}" for name in names)
