"""`python -m bench tasks`: its conclusions from figures, and its arms. Measured values are never asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest

from bench import goals
from bench.fair.lab import lab
from bench.measures import dispatch, tasks
from bench.measures.registry import MEASURES, quick, tiny
from bench.peers import ARMS
from bench.peers.apps import tally
from bench.peers.environment import HERE, prepare
from bench.peers.own import PLAIN, RESULTS, TASK, TASK_ARMS
from bench.peers.peer import AT_LEAST_ONCE, AT_MOST_ONCE, OWN, PYTHON
from bench.peers.with_results import RESULT_PEERS, TASK_PEERS
from tests.support.program import ROOT, StartProgram, programs


@pytest.fixture
def run(tmp_path: Path) -> Iterator[StartProgram]:
    with programs(ROOT, tmp_path) as start:
        yield start


def arm(language: str, guarantee: str, per_s: float, call_ms: float | None = None) -> Mapping[str, Any]:
    ids = {"published": 10, "handled": 10, "lost": 0, "duplicated": 0, "foreign": 0}
    costs = {"worker_cpu_us": 1.0, "server_cpu_us": 2.0, "commands_per_message": 0.5}
    one = {"drain": {"per_s": per_s, "bulk_per_s": per_s, **costs}, "single_per_s": per_s, "ids": ids}
    if call_ms is not None:
        one["call_s"] = [call_ms / 1000] * 3
    return {"language": language, "guarantee": guarantee, "rounds": [one] * 3}


FIGURES: Mapping[str, Any] = {
    "arms": {
        PLAIN: arm(OWN, AT_LEAST_ONCE, 1000),
        "bizzmq again": arm(OWN, AT_LEAST_ONCE, 1000),
        TASK: arm(OWN, AT_LEAST_ONCE, 600),
        RESULTS: arm(OWN, AT_LEAST_ONCE, 400, 0.4),
        "fast": arm(PYTHON, AT_LEAST_ONCE, 60),
        "fast, results": arm(PYTHON, AT_LEAST_ONCE, 40, 1.0),
        "steady": arm(PYTHON, AT_LEAST_ONCE, 30),
        "steady, results": arm(PYTHON, AT_LEAST_ONCE, 50, 2.0),
        "forgetful": arm(PYTHON, AT_MOST_ONCE, 900),
        "forgetful, results": arm(PYTHON, AT_MOST_ONCE, 900, 0.1),
    },
    "dispatch_us": {
        "decode, plain": [1.0, 1.0], "decode, task": [1.5, 1.5], "policy, task": [0.25, 0.25],
        "call, plain": [0.5, 0.5], "call, task": [2.0, 2.0],
    },
    "skipped": {},
}  # fmt: skip


def test_tasks_are_compared_with_the_best_of_the_same_guarantee_and_of_the_same_kind() -> None:
    found = {goal.name: goal for goal in tasks.goals(FIGURES)}

    assert {name: goal.found.value for name, goal in found.items()} == {
        "tasks: no-op drain, x a plain handler": 0.6,
        "tasks: no-op drain, x best Python peer": 10,
        "tasks: drain, results kept, x best Python peer": 8,
        "tasks: publish, one by one, x plain": 0.6,
        "tasks: publish, many at once, x plain": 0.6,
        "tasks: publish and result p50, x best Python peer": 0.4,
        "tasks: dispatch, us": 1.5,
        "tasks: lost or duplicated": 0,
    }
    assert all(goal.passed for goal in found.values())
    assert found["tasks: drain, results kept, x best Python peer"].note.startswith("steady, results, at least once")
    assert found["tasks: publish and result p50, x best Python peer"].note.startswith("fast, results: 1.00 ms")
    assert found["tasks: dispatch, us"].note.endswith("header and policy: 0.75")


def test_without_peers_the_goals_that_need_none_are_judged() -> None:
    ours = {name: of for name, of in FIGURES["arms"].items() if of["language"] == OWN}

    names = [goal.name for goal in tasks.goals({**FIGURES, "arms": ours})]

    assert "tasks: no-op drain, x a plain handler" in names
    assert not any("peer" in name for name in names)


def test_each_arm_has_a_row_and_the_fastest_is_first() -> None:
    rows = tasks.rows(FIGURES)

    assert [row[0] for row in rows[:3]] == [PLAIN, "bizzmq again", "forgetful"]
    assert all(len(row) == len(tasks.HEADINGS) for row in rows)
    by_name = {row[0]: dict(zip(tasks.HEADINGS, row)) for row in rows}
    assert by_name[RESULTS]["result p50 ms"] == "0.40"
    assert by_name[TASK]["result p50 ms"] == "-"
    assert by_name[TASK]["of plain"] == "0.600"
    assert by_name[TASK]["drain/s"] == "600 (600-600)"


def test_every_peer_that_keeps_results_differs_in_that_only() -> None:
    assert {peer.guarantee for peer in TASK_PEERS.values()} == {AT_LEAST_ONCE, AT_MOST_ONCE}
    for name, peer in TASK_PEERS.items():
        keeping = RESULT_PEERS[name]
        assert peer == ARMS[name]
        assert (peer.keeps_results, keeping.keeps_results) == (False, True)
        assert keeping.name not in ARMS
        assert (keeping.workers, keeping.left, keeping.environment) == (peer.workers, peer.left, peer.environment)
        assert keeping.settings.startswith(f"as {name}, but with results: ")
        adapter = HERE / "apps" / f"{keeping.environment}_app.py"
        assert "def call(" in adapter.read_text(encoding="utf-8")


def test_a_quick_comparison_has_the_tasks_of_its_python_peers() -> None:
    names = list(tasks.chosen(quick()))

    assert "tasks" in MEASURES
    assert names[: len(TASK_ARMS)] == [peer.name for peer in TASK_ARMS]
    assert {"ardiq", "ardiq, results", "celery, results"} <= set(names)
    assert "sidekiq" not in names
    assert list(tasks.chosen(tiny())) == [peer.name for peer in TASK_ARMS]


def test_the_cost_of_a_dispatch_is_measured_in_alternating_rounds() -> None:
    found = dispatch.measure(2)

    assert all(len(rounds_us) == 2 and min(rounds_us) > 0 for rounds_us in found.values())
    (goal,) = dispatch.goals(found)
    assert (goal.sense, goal.limit) == (goals.AT_MOST, 2)


@pytest.mark.parametrize("peer", TASK_ARMS[2:], ids=lambda peer: peer.name)
def test_a_session_of_tasks_is_exact_and_waits_for_results(peer: Any) -> None:
    plan = tiny().plan
    with lab() as on:
        found = tasks.session(peer, prepare(peer), on, plan)

    assert found["ids"]["published"] == found["ids"]["handled"] > 0
    assert found["ids"]["lost"] == found["ids"]["duplicated"] == found["ids"]["foreign"] == 0
    assert found["drain"]["per_s"] > 0
    assert len(found.get("call_s", ())) == (plan.idle if peer.keeps_results else 0)
    assert len(tally.RESULT) == 100


@pytest.mark.nightly
def test_the_measurement_of_tasks_runs_and_writes_its_results(run: StartProgram, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    program = run("-m", "bench", "tasks", "--quick", "--alone", "--rounds=1", f"--json={path}")
    program.succeeds()

    results = json.loads(path.read_text(encoding="utf-8"))
    assert set(results["measures"]["tasks"]["arms"]) == {peer.name for peer in TASK_ARMS}
    assert "tasks: dispatch, us" in program.output()
    report = run("-m", "bench", "report", str(path))
    report.succeeds()
    assert "result p50 ms" in report.output()
