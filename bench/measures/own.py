"""The measurements that are separate commands (recovery, idle, memory), with the settings of this comparison."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Mapping

import click

from bench import idle, memory, recovery
from bench.fair import stats
from bench.goals import AT_MOST, Goal, exactly
from bench.measures.scale import Scale

IDLE_WORKERS = 64
MEMORY_KIND = "preload on, reads large blocks"


def run(command: click.Command, *arguments: str) -> dict[str, Any]:
    """Run the command and return its JSON; its table is discarded."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-bench-") as name:
        path = Path(name) / "results.json"
        command.main([*arguments, f"--json={path}"], standalone_mode=False)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measure_recovery(scale: Scale) -> dict[str, Any]:
    return run(recovery.main, f"--kills={scale.kills}")


def recovery_goals(result: Mapping[str, Any]) -> list[Goal]:
    found = stats.of(result["all_ms"], lambda values: stats.percentile(values, 0.99))
    note = f"{len(result['all_ms'])} kills, median {statistics.median(result['all_ms']):.1f} ms"
    return [Goal("from SIGKILL until the message runs again, p99 ms", AT_MOST, 100, found, note)]


def measure_idle(scale: Scale) -> dict[str, Any]:
    return run(idle.main, f"--workers={IDLE_WORKERS}", f"--seconds={scale.idle_s}")


def idle_goals(result: Mapping[str, Any]) -> list[Goal]:
    pool = result["pools"][0]
    return [
        Goal("64 idle workers: commands a second each", AT_MOST, 1, exactly(pool["sent_per_worker_s"]),
             f"{pool['all_per_worker_s']:.2f} with those inside scripts"),
        Goal("64 idle workers: CPU of all, % of a core", AT_MOST, 1, exactly(pool["pool_cpu_percent"]),
             f"and {pool['server_cpu_percent']:.2f}% of the server"),
    ]  # fmt: skip


def measure_memory(scale: Scale) -> dict[str, Any] | None:
    if not sys.platform.startswith("linux"):
        return None
    return run(memory.main, f"--messages={scale.memory_messages}", f"--workers={scale.memory_workers}")


def memory_goals(result: Mapping[str, Any] | None) -> list[Goal]:
    if result is None:
        return []
    found = exactly(result["extra_worker_percent"][MEMORY_KIND])
    return [Goal("an extra worker's memory, % of a lone one", AT_MOST, 15, found, MEMORY_KIND)]
