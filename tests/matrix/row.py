"""A row of the fault matrix: a fault, the tests that inject it, and what their figures must keep to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

TESTS = "tests/"


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        tests: files, tests, or single cases of a test, as pytest names them, without the leading `tests/`.
        since: what the recovery times of these tests are counted from; "" if they measure none.
        below_s: what 99 in 100 recoveries stay below.
        drained: whether nothing may be left to handle in the end.
        finished_stay: whether no message may run again that had succeeded.
        remark: in what the tests are weaker than the fault's name, with the date; all there is to say without tests.
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
        """The files of its tests, each once."""
        return list(dict.fromkeys(TESTS + test.split("::", 1)[0] for test in self.tests))

    def has(self, node_id: str) -> bool:
        """Whether this test is one of the row's."""
        return any(node_id == TESTS + test or node_id.startswith((f"{TESTS}{test}[", f"{TESTS}{test}::"))
                   for test in self.tests)  # fmt: skip


def tests_of(file: str, *names: str) -> Tuple[str, ...]:
    """Tests of one file."""
    return tuple(f"{file}::test_{name}" for name in names)
