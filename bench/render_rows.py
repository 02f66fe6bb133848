"""The rows of a report about the arms."""

from __future__ import annotations

import statistics
from typing import Any, Callable, Mapping, Sequence

from bench.fair import stats
from bench.measures import arms_goals

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
ARM_HEADINGS = ["arm", "drain/s", "of bare", "bulk/s", "single/s", "worker us", "server us", "commands", "bytes",
                "boot s", "PSS MB", "lost", "doubled", "guarantee"]  # fmt: skip
FACT_HEADINGS = ["arm", "version", "a killed worker's message, by default", "source", "settings"]
WAIT_HEADINGS = ["publish to handler start, ms", "idle p50", "p99", "50% p50", "p99", "80% p50", "p99", "held"]


def arm_row(name: str, of: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """The medians of all rounds."""
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
    """The percentiles of all rounds together."""
    kinds = [[wait for one in of["rounds"] for wait in one["idle_s"]]]
    kinds += [[wait for one in of["rounds"] for wait in one["load_s"][load]] for load in result["loads_per_s"]]
    figures = [f"{1e3 * stats.percentile(waits, share):,.2f}" for waits in kinds for share in (0.5, 0.99)]
    held = [load for load in result["loads_per_s"] if arms_goals.holds(of["rounds"], load)]
    return [name, *figures, ", ".join(held) or "neither"]


def sorted_arms(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arms, the fastest first."""

    def rate(name: str) -> float:
        return statistics.median(arms_goals.drain(one) for one in result["arms"][name]["rounds"])

    return {name: result["arms"][name] for name in sorted(result["arms"], key=rate, reverse=True)}


def grids(result: Mapping[str, Any], table: Table) -> list[str]:
    """Speed and cost, the yardsticks, latency, and the settings and guarantee of each arm."""
    arms = sorted_arms(result)
    timed = {name: of for name, of in arms.items() if "idle_s" in of["rounds"][0]}
    facts = [[name, of["version"], of["recovery"], of["source"], of["settings"]] for name, of in arms.items()]
    return [
        table(ARM_HEADINGS, [arm_row(name, of, result) for name, of in arms.items()]),
        yardsticks_text(result),
        table(WAIT_HEADINGS, [wait_row(name, of, result) for name, of in timed.items()]),
        table(FACT_HEADINGS, facts),
        *[f"Skipped: {name}: {why}" for name, why in result["skipped"].items()],
    ]


def yardsticks_text(result: Mapping[str, Any]) -> str:
    """The yardsticks of the machine at that time."""
    plain = [name for name in result["yardsticks"][0] if name.endswith("_per_s")]
    parts = [f"{name} {statistics.median(one[name] for one in result['yardsticks']):,.0f}" for name in plain]
    for name in result["yardsticks"][0]["redis_benchmark"]:
        median = statistics.median(one["redis_benchmark"][name] for one in result["yardsticks"])
        parts.append(f"redis-benchmark {name} {median:,.0f}")
    return "yardsticks: " + ", ".join(parts)
