"""`python -m bench features`: its conclusions from figures, and its arms. Measured values are never asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest

from bench.fair.lab import lab
from bench.measures import features, operations
from bench.measures.registry import MEASURES, quick, tiny
from bench.peers.environment import HERE, prepare
from bench.peers.peer import AT_LEAST_ONCE, AT_MOST_ONCE, NODE, OWN, PYTHON
from bench.peers.with_features import (
    AGAIN,
    BASES,
    FEATURE_PEERS,
    LARGE,
    OWN_FEATURES,
    PLAIN,
    PROGRESS,
    UNIQUE,
    UNIQUE_PEERS,
)
from tests.support.program import ROOT, StartProgram, programs


@pytest.fixture
def run(tmp_path: Path) -> Iterator[StartProgram]:
    with programs(ROOT, tmp_path) as start:
        yield start


def arm(language: str, guarantee: str, bulk_per_s: float, per_s: float) -> Mapping[str, Any]:
    ids = {"published": 10, "handled": 10, "lost": 0, "duplicated": 0, "foreign": 0}
    costs = {
        "publisher_cpu_us": 1.5, "worker_cpu_us": 2.5, "all_server_cpu_us": 3.5, "commands_per_message": 0.25,
        "bytes_per_message": 1234,
    }  # fmt: skip
    drain = {"per_s": per_s, "bulk_per_s": bulk_per_s, **costs}
    return {
        "language": language,
        "guarantee": guarantee,
        "rounds": [{"drain": drain, "single_per_s": 5, "ids": ids}] * 3,
    }


COST = {"messages": 10_000, "client_cpu_us": 1.0, "server_cpu_us": 2.0, "commands": 0.5, "bytes": 100.0}
FIGURES: Mapping[str, Any] = {
    "arms": {
        PLAIN: arm(OWN, AT_LEAST_ONCE, 300, 600),
        AGAIN: arm(OWN, AT_LEAST_ONCE, 300, 600),
        UNIQUE: arm(OWN, AT_LEAST_ONCE, 120, 240),
        PROGRESS: arm(OWN, AT_LEAST_ONCE, 300, 150),
        LARGE: arm(OWN, AT_LEAST_ONCE, 60, 60),
        "compressed, 4 kB": arm(OWN, AT_LEAST_ONCE, 30, 30),
        "bullmq node, unique": arm(NODE, AT_LEAST_ONCE, 20, 20),
        "saq, unique": arm(PYTHON, AT_LEAST_ONCE, 10, 10),
        "bullmq node, progress": arm(NODE, AT_LEAST_ONCE, 10, 10),
        "rq simple, progress": arm(PYTHON, AT_MOST_ONCE, 40, 40),
    },
    "operations": {name: [COST] * 3 for name in operations.OPERATIONS},
    "skipped": {},
}


def test_each_feature_is_compared_with_the_fastest_peer_that_has_it() -> None:
    found = {goal.name: goal for goal in features.goals(FIGURES)}

    assert {name: (round(goal.found.value, 6), goal.passed) for name, goal in found.items()} == {
        "features: a unique key, x best peer": (8, True),
        "features: result and progress, x best peer": (5, True),
        "features: lost or duplicated": (0, True),
    }
    assert found["features: a unique key, x best peer"].note.startswith("bullmq node, unique, at least once")
    assert found["features: result and progress, x best peer"].note.startswith("rq simple, progress, at most once")


def test_without_peers_only_the_ids_are_judged() -> None:
    ours = {name: of for name, of in FIGURES["arms"].items() if of["language"] == OWN}

    assert [goal.name for goal in features.goals({**FIGURES, "arms": ours})] == ["features: lost or duplicated"]


def test_a_message_with_a_feature_is_compared_with_the_same_message_without_it() -> None:
    rows = {row[0]: dict(zip(features.HEADINGS, row)) for row in features.rows(FIGURES)}

    assert (rows[UNIQUE]["handled/s"], rows[UNIQUE]["of plain"]) == ("80", "0.40")
    assert rows["compressed, 4 kB"]["of plain"] == "0.50"
    assert BASES["compressed, 4 kB"] == LARGE
    assert {len(row) for row in features.rows(FIGURES)} == {len(features.HEADINGS)}
    assert {len(row) for row in operations.rows(FIGURES["operations"])} == {len(operations.HEADINGS)}


def test_each_arm_of_a_peer_differs_in_its_feature_only() -> None:
    for name, peer in FEATURE_PEERS.items():
        base = name.rpartition(", ")[0]
        assert base in features.PEERS
        assert peer.settings.startswith(f"as {base}, but with ")
        assert peer.feature in (HERE / "node" / "bullmq.js").read_text() if peer.language == NODE else True
    assert not any(peer.keeps_results for peer in UNIQUE_PEERS)


def test_peers_are_measured_if_they_are_named() -> None:
    assert "features" in MEASURES
    assert set(features.chosen(tiny())) == set(OWN_FEATURES)
    assert set(features.chosen(tiny(features.PEERS))) == {*OWN_FEATURES, *FEATURE_PEERS}
    assert "bullmq node, deduplicated" in features.chosen(quick())


@pytest.mark.parametrize("name", [UNIQUE, "debounce, published twice", PROGRESS, "encrypted"])
def test_a_session_is_exact(name: str) -> None:
    peer = OWN_FEATURES[name]
    with lab() as on:
        found = features.session(peer, prepare(peer), on, tiny().plan)

    assert found["ids"]["published"] == found["ids"]["handled"] > 0
    assert found["ids"]["lost"] == found["ids"]["duplicated"] == found["ids"]["foreign"] == 0
    assert found["single_per_s"] > 0


@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_an_operation_concerns_each_message(name: str) -> None:
    with lab() as on:
        found = operations.OPERATIONS[name](on, 200)

    assert found["messages"] == 200
    assert found["commands"] > 0


@pytest.mark.nightly
def test_the_measurement_runs_and_writes_its_results(run: StartProgram, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    program = run("-m", "bench", "run", "features", "--scale=tiny", "--rounds=1", f"--json={path}")
    program.succeeds()

    results = json.loads(path.read_text(encoding="utf-8"))
    assert set(results["measures"]["features"]["arms"]) == set(OWN_FEATURES)
    report = run("-m", "bench", "report", str(path))
    report.succeeds()
    assert "cancel of waiting messages" in report.output()
