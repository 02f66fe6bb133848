"""The soak finds no problem in a short run, and detects growth."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bizzmq.testing.balance import Balance
from bizzmq.testing.recovery import Recovery
from bizzmq.testing.verdict import Verdict
from tests.soak import growth, plots, report
from tests.soak.sampler import Sample, Use
from tests.soak.sites import SITES
from tests.soak.topology import Soaked, soak
from tests.support.paths import ROOT
from tests.support.program import programs

SEED = 5


def soaked(seconds: int, growing_mb: float = 0.0, **balance: Any) -> Soaked:
    """A made-up result of a soak."""
    samples = [
        Sample(
            100.0 + second,
            Use(12, 90.0, 300.0, 120),
            Use(5, 40.0 + (second % 3) + growing_mb * second, 150.0, 60 + second % 2),
            30 + second % 5,
            2.0,
        )
        for second in range(seconds)
    ]
    recoveries = [Recovery("worker-kill", 110.0, 0.03), Recovery("redis-kill", 120.0, 0.6)]
    verdict = Verdict(SEED, float(seconds), Balance(published=100, handled=100, **balance), Counter(cut=1), recoveries)
    return Soaked("embedded", 100.0, verdict, samples, dict.fromkeys(range(seconds), 60))


@pytest.mark.nightly
def test_a_run_of_seconds_on_one_server_loses_nothing_and_is_reported(tmp_path: Path) -> None:
    with programs(ROOT, tmp_path) as start:
        out = tmp_path / "report"
        options = ("--minutes=0.12", "--on=embedded", f"--seed={SEED}", "--no-tests", f"--out={out}")
        program = start("-m", "tests.soak", *options)
        program.succeeds()

    document = json.loads((out / "report.json").read_text())
    (one,) = document["topologies"]
    assert document["conditions"]["seed"] == SEED
    assert one["problems"] == []
    assert one["published"] > 50
    assert one["published"] == one["handled"] + one["failed"]
    assert len(one["samples"]) >= 3
    assert len(one["samples"][0]) == len(one["columns"])
    assert "- lost: 0" in (out / "report.md").read_text()
    assert (out / "soak-embedded.png").exists() is plots.is_possible()


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SITES)
def test_a_minute_on_each_topology(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    assert soak(name, 60.0, SEED, tmp_path / name).problems() == []


def test_steady_growth_is_a_problem() -> None:
    (problem,) = soaked(300, growing_mb=0.1).problems()

    assert "memory of the lasting pool (PSS), MB grows steadily: 50.0" in problem


def test_fluctuation_and_too_few_samples_are_not_a_problem() -> None:
    assert soaked(300).problems() == []
    assert soaked(growth.LEAST_SAMPLES - 1, growing_mb=1.0).problems() == []
    assert not growth.grows([10.0, 30.0, 29.0, 40.0], 1.0)
    assert not growth.grows([10.0, 10.1, 10.2, 10.3], 1.0)


def test_broken_invariants_and_unexpected_exits_are_problems_too() -> None:
    broken = soaked(30, problems=["G1: x is lost"], crashed=1)

    assert broken.problems() == ["G1: x is lost", "1 workers have died by themselves"]


def test_the_report_has_the_main_figures(tmp_path: Path) -> None:
    one = soaked(300, growing_mb=0.1)

    as_json, as_text = report.write(tmp_path, report.conditions(SEED), [one], [tmp_path / "soak-embedded.png"], 0)

    text = as_text.read_text()
    for line in ("## embedded, 300 s", "| cut | 1 | - | - |", "- PROBLEM: memory", "`pytest -m soak`: exit code 0"):
        assert line in text
    assert json.loads(as_json.read_text())["topologies"][0]["medians_by_quarter"]["connections"] == [32.0] * 4


@pytest.mark.skipif(not plots.is_possible(), reason="needs the extra bench")
def test_the_picture_is_drawn(tmp_path: Path) -> None:
    assert plots.draw(soaked(90), tmp_path).stat().st_size > 10_000
