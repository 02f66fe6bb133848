"""The cost of checking an import at the start of a pool: `python -m bench preload`, or `python bench/preload.py`.

Each round is a process that imports a module as a template does. It measures the time added to the import: the check
before it, the check after it, and the trial fork. No server is needed.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bizzmq.utils import forks
from bizzmq.workers.preload.finding import Effect
from bizzmq.workers.preload.inspection import Inspection


def measure(module: str) -> tuple[float, float, bool]:
    """Seconds of the import, seconds of the checks, and whether workers may be forked. In a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(_look, [module])


def _look(module: str) -> tuple[float, float, bool]:
    importlib.import_module("bizzmq.workers.worker.template")
    times_s = [time.perf_counter()]
    inspection = Inspection(forks.descriptors)
    times_s.append(time.perf_counter())
    importlib.import_module(module)
    times_s.append(time.perf_counter())
    found = inspection.findings()
    times_s.append(time.perf_counter())
    before_s, import_s, after_s = (later - earlier for earlier, later in zip(times_s, times_s[1:]))
    return import_s, before_s + after_s, not any(one.effect is Effect.OFF for one in found)


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the results into it.")
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
def main(rounds: int, modules: tuple[str, ...], json_path: Path | None) -> None:
    """Milliseconds for checking an import, without the import itself."""
    modules = modules or ("bench.handlers",)
    measured = {module: [measure(module) for _ in range(rounds)] for module in modules}
    results: dict[str, Any] = {
        "benchmark": "preload", "conditions": report.machine(), "settings": {"rounds": rounds},
        "look_ms": {module: [round(look_s * 1000, 2) for _, look_s, _ in of] for module, of in measured.items()},
        "forks": {module: all(forks for _, _, forks in of) for module, of in measured.items()},
    }  # fmt: skip
    for module, of in measured.items():
        import_s, look_s = (statistics.median(times) for times in list(zip(*of))[:2])
        worst_s = max(look_s for _, look_s, _ in of)
        click.echo(
            f"{module}: import {import_s * 1000:.1f} ms, checks {look_s * 1000:.1f} ms in the median, "
            f"{worst_s * 1000:.1f} ms at most, workers are {'forked' if results['forks'][module] else 'not forked'}"
        )
    click.echo("conditions: " + ", ".join(f"{key} {value}" for key, value in results["conditions"].items()))
    if json_path is not None:
        json_path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
