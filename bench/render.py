"""`python -m bench report FILE`: the tables of a comparison, and its pictures."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, Callable, Mapping

import click

from bench import compare, memory_plot, plots
from bench.fair import stats
from bench.goals import table
from bench.measures import arms_goals

ARM_HEADINGS = ["arm", "drain/s", "of bare", "bulk/s", "single/s", "worker us", "server us", "commands", "bytes",
                "boot s", "PSS MB", "lost", "doubled", "guarantee"]  # fmt: skip
WAIT_HEADINGS = ["publish to handler start, ms", "idle p50", "p99", "50% p50", "p99", "80% p50", "p99", "held"]


def arm_row(name: str, of: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """Medians of the rounds."""
    rounds = of["rounds"]

    def median(figure: Callable[[Mapping[str, Any]], float]) -> float:
        return statistics.median(figure(one) for one in rounds)

    bare = statistics.median(one["claims_1x64_per_s"] for one in result["yardsticks"])
    per_s = stats.of([one["drain"]["per_s"] for one in rounds])
    single = f"{median(lambda one: one['single_per_s']):,.0f}" if "single_per_s" in rounds[0] else "-"
    return [
        name, f"{per_s.value:,.0f} ({per_s.low:,.0f}-{per_s.high:,.0f})", f"{per_s.value / bare:.3f}",
        f"{median(arms_goals.bulk):,.0f}", single,
        f"{median(lambda one: one['drain']['worker_cpu_us']):,.0f}",
        f"{median(lambda one: one['drain']['server_cpu_us']):,.0f}",
        f"{median(lambda one: one['drain']['commands_per_message']):.2f}",
        f"{median(lambda one: one['drain']['bytes_per_message']):,.0f}",
        f"{median(lambda one: one['boot_s']):.2f}", f"{median(lambda one: one['pss_mb']):,.0f}",
        str(sum(one["ids"]["lost"] for one in rounds)), str(sum(one["ids"]["duplicated"] for one in rounds)),
        of["guarantee"],
    ]  # fmt: skip


def wait_row(name: str, of: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """Percentiles of all rounds together."""
    kinds = [[wait for one in of["rounds"] for wait in one["idle_s"]]]
    kinds += [[wait for one in of["rounds"] for wait in one["load_s"][load]] for load in result["loads_per_s"]]
    figures = [f"{1e3 * stats.percentile(waits, share):,.2f}" for waits in kinds for share in (0.5, 0.99)]
    held = [load for load in result["loads_per_s"] if arms_goals.holds(of["rounds"], load)]
    return [name, *figures, ", ".join(held) or "neither"]


def arms_text(result: Mapping[str, Any]) -> str:
    """All tables of the arms, the fastest first."""
    names = sorted(result["arms"], key=lambda name: -statistics.median(
        arms_goals.drain(one) for one in result["arms"][name]["rounds"]))  # fmt: skip
    arms = {name: result["arms"][name] for name in names}
    timed = {name: of for name, of in arms.items() if "idle_s" in of["rounds"][0]}
    facts = [[name, of["version"], of["settings"], of["recovery"], of["source"]] for name, of in arms.items()]
    return "\n\n".join([
        table(ARM_HEADINGS, [arm_row(name, of, result) for name, of in arms.items()]),
        yardsticks_text(result),
        table(WAIT_HEADINGS, [wait_row(name, of, result) for name, of in timed.items()]),
        "\n".join(f"{name} {version}: {settings}\n    a killed worker's message: {recovery} [{source}]"
                  for name, version, settings, recovery, source in facts),
    ])  # fmt: skip


def workers_text(result: Mapping[str, Any]) -> str:
    """Messages a second by the number of workers."""
    sizes = list(next(iter(result["per_s"].values())))
    lines = [[kind, *(f"{statistics.median(by_size[size]):,.0f}" for size in sizes), ""]
             for kind, by_size in result["per_s"].items()]  # fmt: skip
    return table(["no-op messages/s by workers", *sizes, ""], lines)


def yardsticks_text(result: Mapping[str, Any]) -> str:
    """What the machine could do meanwhile."""
    plain = [name for name in result["yardsticks"][0] if name.endswith("_per_s")]
    parts = [f"{name} {statistics.median(one[name] for one in result['yardsticks']):,.0f}" for name in plain]
    for name in result["yardsticks"][0]["redis_benchmark"]:
        median = statistics.median(one["redis_benchmark"][name] for one in result["yardsticks"])
        parts.append(f"redis-benchmark {name} {median:,.0f}")
    return "yardsticks: " + ", ".join(parts)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--plots", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIRECTORY",
              help="Draw its pictures there, as PNG and SVG.  [default: none]")  # fmt: skip
def main(source: Path, folder: Path | None) -> None:
    """Tables and pictures of what `compare --json` or `run --json` has written."""
    if folder is not None:
        memory_plot.require_library()
    results = json.loads(source.read_text(encoding="utf-8"))
    if "arms" in results["measures"]:
        click.echo(arms_text(results["measures"]["arms"]) + "\n")
    if "workers" in results["measures"]:
        click.echo(workers_text(results["measures"]["workers"]) + "\n")
    compare.show(results)
    if folder is not None:
        for path in plots.draw_all(results["measures"], folder):
            click.echo(f"plot: {path}")
