"""The conclusions of a comparison from its figures, and one run. Measured values are never asserted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
from redis import Redis

from bench import goals, guard, markdown, opcodes, plots
from bench.fair import stats
from bench.fair.raw import broker_of, claim_command, publish_commands
from bench.fair.tallies import Run, Tallies, check
from bench.measures import arms_goals, fairness
from bench.measures.arms import rotated
from bench.peers import ARMS, QUICK
from bench.peers.apps import tally
from bench.peers.environment import HERE, HOME, NotThere, prepare
from bench.peers.own import OWN_ARMS
from bench.peers.peer import AT_LEAST_ONCE, AT_MOST_ONCE, OWN, PYTHON
from bizzmq import BizzMQ
from bizzmq.errors import LeaseLostError
from bizzmq.protocol.envelope import encode_body
from tests.support.program import ROOT, StartProgram, programs


@pytest.fixture
def run(tmp_path: Path) -> Iterator[StartProgram]:
    with programs(ROOT, tmp_path) as start:
        yield start


def test_an_interval_holds_its_figure_and_is_the_same_every_time() -> None:
    above, below = [10.0, 12.0, 11.0, 13.0, 9.0], [5.0, 6.0, 5.5, 6.5, 4.5]

    found = stats.ratio(above, below)

    assert found == stats.ratio(above, below)
    assert found.low <= found.value == 2.0 <= found.high


def test_conditions_shared_by_all_arms_of_a_round_cancel_out_in_a_ratio() -> None:
    hours = [1.0, 3.0, 0.5, 2.0, 9.0]

    found = stats.ratio([4 * speed for speed in hours], hours)

    assert (found.low, found.value, found.high) == (4.0, 4.0, 4.0)


def test_equal_rounds_have_no_noise_and_unequal_ones_have() -> None:
    assert stats.noise_floor([5.0, 5.0, 5.0], [5.0, 5.0, 5.0]) == 0.0
    assert stats.noise_floor([5.0, 5.0, 5.0], [6.0, 4.0, 5.0]) >= 0.2


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_percentiles_of_a_hundred(share: float, expected: float) -> None:
    assert stats.percentile(list(range(100, 0, -1)), share) == expected


def test_the_check_of_ids_finds_lost_duplicate_and_unknown_ids() -> None:
    assert check([1, 0, 2, 1, 1], 4) == {"published": 4, "handled": 4, "lost": 1, "duplicated": 1, "foreign": 1}


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_of_another_size_has_that_many_workers_and_the_same_settings(name: str) -> None:
    peer = ARMS[name]
    one, four = peer.of_size(1), peer.of_size(4)

    assert peer.of_size(2) == peer
    assert one != peer != four
    if len(peer.workers) == 2:
        assert (one.workers, four.workers) == ([peer.workers[0]], [peer.workers[0]] * 4)
    else:
        assert [word.replace("=4", "=2") for word in four.workers[0]] == list(peer.workers[0])


def test_counts_of_handlers_are_read_back(tmp_path: Path) -> None:
    first, second = tally.Slot(tmp_path / "slot-0", 10), tally.Slot(tmp_path / "slot-1", 10)
    first.seen[0] += 1
    first.seen[3] += 1
    second.seen[3] += 1
    first.began_s[3], first.ended_s[3] = 1.5, 2.5

    found = Tallies(tmp_path, 10)

    assert found.handled(range(1)) == 1
    assert found.handled(range(2)) == 1
    assert found.handled(range(4)) == 3
    assert list(found.counts()) == [1, 0, 0, 2, 0, 0, 0, 0, 0, 0]
    assert found.runs(range(10)) == {3: Run(0, 1.5, 2.5)}


def test_a_slot_is_never_shared(tmp_path: Path) -> None:
    tally.Slot(tmp_path / "slot-0", 10)

    with pytest.raises(FileExistsError):
        tally.Slot(tmp_path / "slot-0", 10)


@pytest.mark.parametrize(
    ("sense", "value", "interval", "verdict"),
    [
        (goals.AT_LEAST, 2.0, (1.8, 2.2), "pass"),
        (goals.AT_LEAST, 1.0, (0.8, 1.2), "FAIL"),
        (goals.AT_MOST, 1.0, (0.8, 1.2), "pass"),
        (goals.AT_MOST, 1.4, (1.2, 1.6), "pass, not sure"),
        (goals.AT_LEAST, 1.4, (1.2, 1.6), "FAIL, not sure"),
    ],
)
def test_a_verdict_contains_its_certainty(sense: str, value: float, interval: Any, verdict: str) -> None:
    goal = goals.Goal("a", sense, 1.5, stats.Estimate(value, *interval), "b")

    assert goal.verdict == verdict
    assert goals.from_json(json.loads(json.dumps(goal.to_json()))) == goal
    assert goals.rows([goal])[0][0] == "a"


def test_a_figure_within_the_noise_floor_of_the_limit_decides_nothing() -> None:
    assert goals.Goal("a", goals.AT_LEAST, 1, stats.Estimate(1.2, 1.1, 1.3), floor=0.3).verdict == "pass, not sure"
    assert goals.Goal("a", goals.AT_LEAST, 1, stats.Estimate(1.4, 1.3, 1.5), floor=0.3).verdict == "pass"


def test_the_table_is_aligned_in_columns() -> None:
    text = goals.table(["goal", "limit", "note"], [["x", "1", "y"], ["longer", "1000", "z"]])

    assert text.splitlines() == ["goal    limit  note", "x           1  y", "longer   1000  z"]


def test_every_arm_is_first_once_and_every_second_round_runs_backwards() -> None:
    assert [rotated(["a", "b", "c"], number) for number in range(3)] == [
        ["a", "b", "c"],
        ["a", "c", "b"],
        ["c", "a", "b"],
    ]


def arm(language: str, guarantee: str, *rates: float) -> Mapping[str, Any]:
    rounds = [{"drain": {"per_s": rate, "bulk_per_s": rate}} for rate in rates]
    return {"language": language, "guarantee": guarantee, "rounds": rounds}


def test_a_headline_compares_with_the_best_of_the_same_guarantee_only() -> None:
    result = {
        "arms": {
            "bizzmq": arm(OWN, AT_LEAST_ONCE, 120, 130),
            "slow": arm(PYTHON, AT_LEAST_ONCE, 5, 6),
            "fast": arm(PYTHON, AT_LEAST_ONCE, 10, 10),
            "forgetful": arm(PYTHON, AT_MOST_ONCE, 900, 900),
        }
    }

    assert arms_goals.best(result, arms_goals.drain, PYTHON, guarantee=AT_LEAST_ONCE) == "fast"
    assert arms_goals.best(result, arms_goals.drain, PYTHON) == "forgetful"
    (goal,) = arms_goals.versus(result, "name", 12, arms_goals.drain, "fast")
    assert goal.found.value == 12.5
    assert goal.passed


def test_a_page_gets_the_goals_between_its_markers_and_nothing_else_changes(tmp_path: Path) -> None:
    page, goal = tmp_path / "page.md", goals.Goal("speed", goals.AT_LEAST, 2, stats.Estimate(1, 1, 1), "others")
    page.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n", encoding="utf-8")
    facts = {"conditions": {"python": "3"}, "settings": {"rounds": 5}, "took_s": 60, "measures": {}}

    markdown.into(page, markdown.section({**facts, "goals": [goal.to_json()]}, tmp_path / "plots", page))

    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{markdown.BEGIN}\n")
    assert text.endswith(f"{markdown.END}\nafter\n")
    assert "old" not in text
    assert "- speed: 1, wanted >= 2 (others)" in text


def test_an_arm_with_a_growing_queue_does_not_keep_up() -> None:
    steady, growing = [0.001] * 100, [n / 100 for n in range(100)]

    assert arms_goals.holds([{"load_s": {"80%": steady}}], "80%")
    assert not arms_goals.holds([{"load_s": {"80%": growing}}], "80%")
    assert not arms_goals.holds([{}], "80%")


def test_waiting_counts_as_unfair_only_behind_a_long_one_while_another_worker_is_idle() -> None:
    long, behind, elsewhere = Run(0, 0.0, 1.0), Run(0, 1.0, 1.001), Run(1, 0.0, 0.4)

    assert fairness.idle_meanwhile_s(0.0, behind, [long, behind, elsewhere]) == pytest.approx(0.6)
    assert fairness.idle_meanwhile_s(0.9, behind, [long, behind, elsewhere]) == pytest.approx(0.1)
    assert fairness.idle_meanwhile_s(0.0, elsewhere, [long, behind, elsewhere]) == 0.0


def test_each_peer_has_its_guarantee_settings_and_installed_version() -> None:
    assert set(QUICK) < set(ARMS)
    for name, peer in ARMS.items():
        assert peer.name == name
        assert peer.guarantee in (AT_LEAST_ONCE, AT_MOST_ONCE)
        assert peer.settings
        assert peer.recovery
        assert peer.source
        if peer.language == PYTHON:
            pinned = (HERE / f"{peer.environment}.txt").read_text(encoding="utf-8").splitlines()
            assert all("==" in line for line in pinned)
            assert any(line.startswith(f"{peer.package}==") for line in pinned)


def test_a_peer_that_cannot_be_installed_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME, str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NotThere, match="node and npm not found"):
        prepare(ARMS["bullmq node"])


def test_only_our_own_instructions_are_counted() -> None:
    message = {"a": [1, 2, 3]}

    once = opcodes.counted(lambda: encode_body(message, 1000))
    twice = opcodes.counted(lambda: [encode_body(message, 1000) for _ in range(2)])

    assert twice == 2 * once > 0
    assert opcodes.counted(lambda: json.dumps(message)) == 0


def test_only_counts_that_have_grown_by_more_than_five_percent_fail() -> None:
    assert guard.grown({"a": 100, "b": 100, "gone": 1}, {"a": 105, "b": 106, "new": 9}) == {"b": 1.06}


@pytest.mark.skipif(
    guard.version() not in json.loads(guard.COMMITTED.read_text(encoding="utf-8")), reason="no counts for this Python"
)
def test_the_cost_of_a_message_is_the_committed_one(run: StartProgram) -> None:
    run("-m", "bench", "guard").succeeds()


@pytest.mark.nightly
def test_our_own_arms_run_balance_and_are_reported(run: StartProgram, tmp_path: Path) -> None:
    path, folder = tmp_path / "results.json", tmp_path / "plots"
    run("-m", "bench", "run", "arms", "fairness", "--scale=tiny", "--rounds=1", f"--json={path}").succeeds()

    results = json.loads(path.read_text(encoding="utf-8"))

    rounds = [one for of in results["measures"]["arms"]["arms"].values() for one in of["rounds"]]
    assert len(rounds) == len(OWN_ARMS)
    for one in rounds:
        assert one["ids"]["published"] == one["ids"]["handled"] > 0
        assert one["ids"]["lost"] == one["ids"]["duplicated"] == one["ids"]["foreign"] == 0
        assert one["drain"]["per_s"] > 0
    assert {"single publishes, x bare script calls", "messages lost or duplicated"} <= {
        goal["name"] for goal in results["goals"]
    }
    report = run("-m", "bench", "report", str(path))
    report.succeeds()
    assert "noise floor of arms: " in report.output()
    if importlib.util.find_spec("matplotlib") is not None:
        assert {drawn.name for drawn in plots.draw_all(results["measures"], folder)} == {
            "latency.png", "latency.svg", "throughput.png", "throughput.svg",
        }  # fmt: skip


def test_bare_loops_send_the_commands_of_our_broker(redis: Redis, url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("bare")
        mq.publish_message_to_queue("bare", None)
    broker = broker_of(url)
    with pytest.raises(LeaseLostError):  # the script is loaded from now on
        broker.claim("bare", "nobody", 1)
    broker.connection.drop()
    (command,) = publish_commands("bare", "someone", ["id"], b"{}")

    assert redis.execute_command(*command) == 1
    assert redis.execute_command(*claim_command("bare", "nobody", 1)) == [-1]
    assert redis.llen("bizzmq:{bare}:waiting") == 2
