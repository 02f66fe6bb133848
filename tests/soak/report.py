"""The report of a soak: report.json for programs, report.md for people."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import redis

import bizzmq
from bizzmq.workers.process import cgroups
from tests.soak.topology import Soaked


def conditions(seed: int) -> dict[str, Any]:
    """The machine and the versions of the run."""
    return {
        "seed": seed,
        "bizzmq": bizzmq.__version__,
        "python": platform.python_version(),
        "redis_py": redis.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processors": cgroups.usable_processors(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def write(
    directory: Path,
    facts: Mapping[str, Any],
    topologies: Sequence[Soaked],
    plots: Sequence[Path] = (),
    tests_code: int | None = None,
) -> list[Path]:
    """Write both reports with the results so far; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {"conditions": facts, "topologies": [one.as_dict() for one in topologies], "tests_exit_code": tests_code}
    paths = [directory / "report.json", directory / "report.md"]
    paths[0].write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    paths[1].write_text("\n".join(_lines(facts, topologies, plots, tests_code)) + "\n", encoding="utf-8")
    return paths


def _lines(
    facts: Mapping[str, Any], topologies: Sequence[Soaked], plots: Sequence[Path], tests_code: int | None
) -> Iterator[str]:
    yield "# Soak\n"
    yield ", ".join(f"{name} {value}" for name, value in facts.items()) + ".\n"
    if tests_code is not None:
        yield f"`pytest -m soak`: exit code {tests_code}.\n"
    for one in topologies:
        yield from _topology(one)
    for path in plots:
        yield f"![{path.stem}]({path.name})\n"


def _topology(one: Soaked) -> Iterator[str]:
    yield f"## {one.name}, {one.verdict.seconds:.0f} s\n"
    for name, value in one.verdict.rows().items():
        yield f"- {name}: {value}"
    yield ""
    yield from table(("fault", "times", "recovery p50", "p99"), one.verdict.fault_rows())
    yield from table(
        ("what must not grow", "1st quarter", "2nd", "3rd", "4th"),
        [[name, *(map(str, parts) if parts else "----")] for name, parts in one.medians().items()],
    )
    yield from [f"- PROBLEM: {problem}" for problem in one.problems()] or ["No problem."]
    yield ""


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """A table in Markdown, and an empty line."""
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(map(str, row)) + " |"
    yield ""
