"""`bizzmq demo --torture` keeps its promises, and reports violations."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bizzmq.demo.ledger import Run
from bizzmq.demo.torture import plan
from bizzmq.demo.torture.plan import PlannedMessage
from bizzmq.demo.torture.verdict import Evidence, judge
from tests.conftest import SEED_VARIABLE
from tests.support.program import ROOT, programs

CRASHED = {"error_type": "WorkerCrashed", "error": "the worker that ran it was killed by SIGSEGV"}
GOOD, DEADLY = PlannedMessage("work", always=False), PlannedMessage("segfault", always=True)


def run_of(message: str, pid: int, start_s: float, *, ended: bool = True, counts: str = "0 0 0", code: int = 1) -> Run:
    return Run(message, pid, start_s, start_s + 0.1 if ended else None, (*counts.split(), str(code)))


@pytest.fixture
def evidence() -> Evidence:
    """A good message that a kill interrupted once, and one that has killed three workers."""
    return Evidence(
        published={"good": GOOD, "deadly": DEADLY},
        runs=[
            run_of("good", 11, 1.0, ended=False),
            run_of("good", 12, 2.0, counts="0 1 0"),
            run_of("deadly", 13, 1.0, ended=False),
            run_of("deadly", 14, 2.0, ended=False, counts="0 1 0"),
            run_of("deadly", 15, 3.0, ended=False, counts="0 2 0"),
        ],
        dead={"deadly": CRASHED},
        killed=frozenset({11}),
        deaths=[{"pid": pid, "how": "was killed by SIGSEGV"} for pid in (11, 13, 14, 15)],
        broken=frozenset({2}),
        reloaded_s=4.0,
        generation=3,
    )


@pytest.mark.nightly
def test_a_torture_of_a_few_seconds_exits_with_0_and_leaves_nothing_behind(tmp_path: Path) -> None:
    seed = os.environ.get(SEED_VARIABLE, "8")

    with programs(ROOT, tmp_path) as start:
        program = start("-m", "bizzmq", "demo", "--torture", "--seconds=8", f"--seed={seed}")
        program.succeeds()

    for line in (
        f"seed                 {seed}",
        "lost                 0",
        "dead-lettered        11 of 11 that must be",
        "problems             0",
    ):
        assert line in program.output()


def test_the_same_seed_does_the_same() -> None:
    assert plan.actions(7, 60.0) == plan.actions(7, 60.0) != plan.actions(8, 60.0)


def test_every_kind_of_fault_comes_even_in_a_short_torture() -> None:
    long, short = ({(a.what, str(a.detail)) for a in plan.actions(1, s) if a.what != plan.BREAK} for s in (60.0, 5.0))

    assert long == short


def test_a_correct_balance_has_no_problem(evidence: Evidence) -> None:
    verdict = judge(evidence)

    assert verdict.problems == []
    assert (verdict.handled, verdict.dead_lettered, verdict.expected_dead_letters) == (1, 1, 1)
    assert (verdict.lost, verdict.twice, verdict.interrupted) == (0, 0, 1)


def test_a_kill_before_the_handlers_first_line_explains_a_crash(evidence: Evidence) -> None:
    deaths = [{"pid": 11, "how": "was killed by SIGKILL", "message": "good"}, *evidence.deaths[1:]]

    assert judge(replace(evidence, runs=evidence.runs[1:], deaths=deaths)).problems == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"runs": []}, "good (work) is lost"),
        ({"dead": {}}, "deadly (segfault) is lost"),
        ({"dead": {"deadly": CRASHED, "good": CRASHED}}, "good (work) is innocent"),
        ({"dead": {"deadly": {"error_type": "ValueError"}}}, "for another reason"),
        ({"dead": {"deadly": CRASHED, "stranger": CRASHED}}, "never published: stranger"),
        ({"killed": frozenset()}, "worker 11 died without a planned reason"),
        ({"killed": frozenset()}, "good (work) ran again as delivery 2"),
        ({"broken": frozenset({1})}, "by the broken generation 1"),
        ({"reloaded_s": 2.5}, "deadly was run by generation 1 after the last reload"),
        ({"deaths": [{"pid": 12, "how": "exited with code 70"}]}, "worker 12 died without a planned reason"),
    ],
)
def test_violations_are_reported(evidence: Evidence, changes: Any, fault: str) -> None:
    assert [line for line in judge(replace(evidence, **changes)).problems if fault in line]


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (run_of("good", 12, 2.0, counts="1 0 0"), "good (work) ran again"),
        (run_of("good", 12, 2.0, counts="0 0 1"), "good (work) ran again"),
        (run_of("good", 12, 2.0, counts="0 2 0"), "good (work) ran again"),
        (run_of("stranger", 12, 2.0), "was never published"),
    ],
)
def test_wrong_blame_is_reported(evidence: Evidence, run: Run, fault: str) -> None:
    runs = [run if other.pid == run.pid else other for other in evidence.runs]

    assert [line for line in judge(replace(evidence, runs=runs)).problems if fault in line]


def test_a_deadly_message_that_is_given_up_too_early_is_reported(evidence: Evidence) -> None:
    assert [line for line in judge(replace(evidence, runs=evidence.runs[:4])).problems if "was given up" in line]
