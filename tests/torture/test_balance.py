"""The balance of `bizzmq torture`: violations are reported, effects of faults are accepted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bizzmq.testing.balance import Evidence, judge
from bizzmq.testing.ledger import Run
from bizzmq.testing.recovery import percentile, recoveries
from bizzmq.testing.strike import Strike
from tests.torture.conftest import FAILOVER, HOST, KILL, run_of, with_runs

NEVER = frozenset({"never"})


def test_a_correct_balance_has_no_problems(evidence: Evidence) -> None:
    balance = judge(evidence)

    assert balance.problems == []
    assert (balance.published, balance.handled, balance.failed, balance.lost) == (3, 2, 1, 0)
    assert (balance.cut_off, balance.twice, balance.duplicated) == (1, 0, 1)
    assert (balance.retried, balance.crashed) == (1, 0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"published": frozenset({"good", "cut", "bad", "never"})}, "G1: never is lost"),
        ({"dead": {}}, "G1: bad is lost"),
        ({"stored": frozenset({"good"})}, "G1: good is still stored"),
        ({"published": frozenset({"good", "bad"})}, "never published: ['cut']"),
        ({"dead": {"bad": {}, "good": {"error_type": "X"}}}, "G5: good is dead-lettered though it never failed"),
    ],
)
def test_violations_are_reported(evidence: Evidence, changes: Any, problem: str) -> None:
    assert [line for line in judge(replace(evidence, **changes)).problems if problem in line]


def test_an_unconfirmed_message_may_be_lost_or_handled(evidence: Evidence) -> None:
    unsure = with_runs(evidence, run_of("maybe", 1, 3.0), unsure=frozenset({"maybe", "gone"}))

    assert judge(unsure).problems == []
    assert judge(unsure).unconfirmed == 1


def test_a_publish_that_failed_may_have_published_one_message(evidence: Evidence) -> None:
    stranger = with_runs(evidence, run_of("stranger", 1, 3.0))

    assert judge(replace(stranger, doubtful=1)).problems == []
    assert judge(stranger).problems != []


@pytest.mark.parametrize(
    ("again", "strikes", "explained"),
    [
        (run_of("good", 1, 4.0), (KILL,), False),  # it had succeeded long before, and was not the victim's last run
        (run_of("good", 2, 6.0), (KILL, HOST), False),  # its ack had enough time before the host was lost
        (run_of("other", 2, 6.0), (KILL, HOST), True),  # one of these ended just before the host was lost
        (run_of("other", 2, 6.0), (KILL, replace(HOST, pids=frozenset({7}))), False),
        (run_of("other", 2, 11.0), (KILL, replace(FAILOVER, at_s=5.0)), True),
    ],
)
def test_a_successful_run_is_repeated_only_by_a_fault_that_lost_its_ack(
    evidence: Evidence, again: Run, strikes: tuple[Strike, ...], explained: bool
) -> None:
    first = run_of("other", 1, 4.7)
    repeated = with_runs(evidence, first, again, published=evidence.published | {"other"}, strikes=strikes)

    balance = judge(repeated)

    assert balance.twice == 1
    assert (balance.problems == []) is explained


def test_an_outage_before_the_loss_of_a_host_delays_acks(evidence: Evidence) -> None:
    outage = Strike("redis-stall", 0.5, "s", HOST.reach.NOTHING, is_outage=True, healed_s=4.0)
    repeated = with_runs(evidence, run_of("good", 2, 6.0), strikes=(KILL, outage, HOST))

    assert judge(repeated).problems == []


def test_a_crash_without_a_fault_is_the_handlers_own(evidence: Evidence) -> None:
    crashing = [run_of("boom", 9, 6.0 + n, ended=False) for n in range(3)]
    dead = {**evidence.dead, "boom": {"error_type": "WorkerCrashed"}}

    balance = judge(with_runs(evidence, *crashing, published=evidence.published | {"boom"}, dead=dead))

    assert balance.problems == []
    assert (balance.crashed, balance.failed) == (3, 2)


def test_recovery_counts_from_the_kill_to_the_next_run_and_from_an_outages_end(evidence: Evidence) -> None:
    outage = Strike("redis-kill", 2.1, "s", HOST.reach.NOTHING, is_outage=True, healed_s=2.75)

    taken = recoveries([KILL, outage], evidence.runs)

    assert [one[:2] for one in taken] == [("worker-kill", 1.05), ("redis-kill", 2.1)]
    assert [one.took_s for one in taken] == pytest.approx([0.15, 0.25])


def test_the_delay_of_overlapping_faults_is_left_out(evidence: Evidence) -> None:
    outage = Strike("redis-kill", 1.0, "s", HOST.reach.NOTHING, is_outage=True, healed_s=1.1)

    assert "worker-kill" not in {one.kind for one in recoveries([KILL, outage], evidence.runs)}


def test_percentiles_are_existing_values() -> None:
    assert [percentile([3.0, 1.0, 2.0], percent) for percent in (1, 50, 99)] == [1.0, 2.0, 3.0]
    assert percentile([], 50) is None


def test_without_a_handled_message_that_is_the_first_problem_with_the_reason(evidence: Evidence) -> None:
    own = [run for run in evidence.runs if run.id == "bad"]
    dead = {"bad": {"error_type": "ValueError", "error": "two\nlines"}}
    failing = replace(evidence, published=frozenset({"bad"}), runs=own, dead=dead, strikes=[])

    assert judge(failing).problems == [
        "nothing was handled, so this shows nothing; the handler's error: ValueError: two lines"
    ]
    assert judge(Evidence(published=frozenset(), runs=[])).problems == ["nothing was handled, so this shows nothing"]
