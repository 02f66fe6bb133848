"""Made-up results of a torture run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bizzmq.testing.balance import Evidence
from bizzmq.testing.ledger import END, START, Event, Run
from bizzmq.testing.strike import Reach, Strike


def run_of(
    message: str, pid: int, start_s: float, *, ended: bool = True, error: str = "", end_s: float | None = None
) -> Run:
    """A run of a tenth of a second, which succeeded unless it has an error or never ended."""
    start = Event(START, message, pid, start_s, {"delivery": 1})
    fields = {"outcome": "error", "error": error} if error else {"outcome": "ok"}
    return Run(start, Event(END, message, pid, end_s or start_s + 0.1, fields) if ended else None)


KILL = Strike("worker-kill", 1.05, "1", Reach.LAST, healed_s=1.05, pids=frozenset({1}))
HOST = Strike("host-kill", 5.0, "host", Reach.POOL, healed_s=5.5, pids=frozenset({1, 2}), former_pids=frozenset({3}))
FAILOVER = Strike("master-kill", 9.0, "m", Reach.EVERYTHING, is_outage=True, counts_from_strike=True, healed_s=10.0)


@pytest.fixture
def evidence() -> Evidence:
    """One message was handled at once, one was interrupted by a kill, one failed until it was dead-lettered."""
    return Evidence(
        published=frozenset({"good", "cut", "bad"}),
        runs=[
            run_of("good", 1, 0.0),
            run_of("cut", 1, 1.0, ended=False),
            run_of("cut", 2, 1.2),
            run_of("bad", 3, 2.0, error="ValueError"),
            run_of("bad", 3, 3.0, error="ValueError"),
        ],
        dead={"bad": {"error_type": "ValueError", "error": "no"}},
        strikes=[KILL],
    )


def with_runs(evidence: Evidence, *runs: Run, **changes: object) -> Evidence:
    """The evidence with more runs."""
    every = sorted([*evidence.runs, *runs], key=lambda run: run.start.time_s)
    return replace(evidence, runs=every, **changes)  # type: ignore[arg-type]
