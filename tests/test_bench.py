"""The measurements run, their balance is correct, and they write their results. Speed is never tested."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import pytest

from bench import memory_plot
from tests.support.program import ROOT, StartProgram, programs

Measure = Callable[..., Mapping[str, Any]]
CONDITIONS = {"bizzmq", "python", "hiredis", "codec", "system", "processors", "load_before", "server", "aof"}

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reports how memory is shared")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[StartProgram]:
    with programs(ROOT, tmp_path) as start:
        yield start


@pytest.fixture
def measure(run: StartProgram, url: str, tmp_path: Path) -> Measure:
    """The results of `python ARGUMENTS... --json FILE` on the tests' server."""

    def results_of(*arguments: str, server: str = url) -> Mapping[str, Any]:
        path = tmp_path / "results.json"
        program = run(*arguments, f"--server={server}", f"--json={path}")
        program.succeeds()
        results: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert set(results["conditions"]) == CONDITIONS
        assert results["balance"]["lost"] == results["balance"]["left"] == 0
        assert "balance: " in program.output()
        return results

    return results_of


def test_aio_compares_both_clients_in_each_round(measure: Measure) -> None:
    results = measure("-m", "bench.aio", "--messages=100", "--rounds=2")

    assert len(results["rounds"]) == 2
    for ratios in results["of_blocking"].values():
        assert len(ratios) == 3
        assert all(value > 0 for value in ratios.values())


def test_drain_measures_every_round_and_balances(measure: Measure) -> None:
    results = measure("-m", "bench.drain", "--messages=3000", "--rounds=2", "--workers=2", "--prefetch=32")

    assert results["settings"] == {"messages": 3000, "workers": 2, "prefetch": 32, "rounds": 2}
    assert results["balance"]["published"] == results["balance"]["acked"] == 2 * 3000 + 2 * 2000
    assert results["pool_exit_code"] == 0
    assert results["boot_s"] > 0
    assert len(results["rounds"]) == 2
    for one in (*results["rounds"], results["median"]):
        assert set(one) == {
            "messages_per_s", "worker_cpu_us", "server_cpu_us", "evalsha_per_message", "bare_messages_per_s",
            "of_bare",
        }  # fmt: skip
        assert all(value > 0 for value in one.values())
        assert one["evalsha_per_message"] >= 1 / 32


def test_recovery_counts_every_kill_and_every_duplicate(measure: Measure) -> None:
    results = measure("-m", "bench.recovery", "--kills=5", "--workers=3")

    balance = results["balance"]
    assert balance["kills"] == balance["duplicates"] == 5
    assert balance["published"] == balance["acked"] >= 5
    took_ms = results["recovered_ms"]
    assert 0 < took_ms["p50"] <= took_ms["p90"] <= took_ms["p99"] <= took_ms["max"]
    assert len(results["all_ms"]) == 5


def test_idle_measures_every_pool(measure: Measure) -> None:
    results = measure("-m", "bench.idle", "--workers=1", "--workers=3", "--seconds=0.5")

    assert [pool["workers"] for pool in results["pools"]] == [1, 3]
    for pool in results["pools"]:
        assert 0 <= pool["sent_per_worker_s"] <= pool["all_per_worker_s"]
        assert pool["boot_s"] > 0
        assert pool["pool_cpu_percent"] >= 0


def test_respawn_measures_with_and_without_preload(measure: Measure) -> None:
    results = measure("-m", "bench.respawn", "--kills=2", "--import-s=0.1")

    assert results["settings"] == {"kills": 2, "import_s": 0.1}
    assert results["balance"]["published"] == results["balance"]["acked"] == 2 + 1
    assert {preload: len(all_ms) for preload, all_ms in results["all_ms"].items()} == {"on": 2, "off": 1}
    for preload in ("on", "off"):
        took_ms = results["respawn_ms"][preload]
        assert 0 < took_ms["median"] <= took_ms["max"]
    assert results["respawn_ms"]["off"]["median"] >= 100.0, "without preload the time includes the import"


@linux
@pytest.mark.nightly
def test_memory_measures_every_pool(measure: Measure) -> None:
    results = measure("-m", "bench.memory", "--messages=5", "--workers=2")

    assert results["settings"] == {"messages": 5, "workers": 2}
    assert results["balance"]["published"] == results["balance"]["acked"] == 4 * 5 * (1 + 2)
    assert len(results["pools"]) == len(results["extra_worker_percent"]) == 4
    for kind, sizes in results["pools"].items():
        assert [size["workers"] for size in sizes] == [1, 2]
        assert all((size["template_mb"] > 0) is kind.startswith("preload on") for size in sizes)
        assert all(size["pool_mb"] >= size["per_worker_mb"] * size["workers"] - 0.1 for size in sizes)
    assert results["alone_mb"] > 200, "the handler's module is there"
    assert results["extra_worker_percent"]["preload on, reads large blocks"] < 15, "the issue's promise"


@linux
def test_preload_measures_the_check_of_an_import(run: StartProgram, tmp_path: Path) -> None:
    program = run("-m", "bench.preload", "--rounds=2", f"--json={tmp_path / 'results.json'}", "json.tool")

    program.succeeds()

    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["forks"] == {"json.tool": True}
    assert len(results["look_ms"]["json.tool"]) == 2
    assert all(look_ms > 0 for look_ms in results["look_ms"]["json.tool"])
    assert "json.tool: import " in program.output()


def test_schedules_fire_and_their_lateness_is_counted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "schedules", "--schedules=200", "--seconds=4", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    spread, at_once = json.loads(done.stdout)
    assert spread["schedules"] == 200
    assert at_once["fired"] == 200
    assert at_once["late_p50_ms"] >= 0


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs the extra bench")
def test_memory_draws_its_picture(tmp_path: Path) -> None:
    paths = memory_plot.draw({"one": [(1, 200.0), (2, 206.0)], "other": [(1, 200.0), (2, 400.0)]}, "title", tmp_path)

    assert [path.name for path in paths] == ["memory.png", "memory.svg"]
    assert all(path.stat().st_size > 1000 for path in paths)


@linux
def test_without_matplotlib_a_picture_is_refused_before_anything_is_measured(run: StartProgram, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")

    program = run("-m", "bench", "memory", f"--plots={tmp_path}", PYTHONPATH=f"{tmp_path}:{ROOT}")

    program.wait_for("matplotlib")
    assert program.output() == "Error: a plot needs the package matplotlib: pip install matplotlib\n"


def test_a_measurement_runs_as_a_file_with_a_server_of_its_own(measure: Measure) -> None:
    results = measure("bench/drain.py", "--messages=200", "--rounds=1", server="embedded")

    assert results["conditions"]["aof"] is True
    assert results["balance"]["acked"] == 200 + 2 * 2000


def test_all_measurements_are_listed(run: StartProgram) -> None:
    program = run("-m", "bench", "--help")

    program.succeeds()

    for name in ("all", "compare", "drain", "guard", "idle", "memory", "recovery", "report", "respawn", "run", "tasks"):
        assert f"\n  {name} " in program.output()
