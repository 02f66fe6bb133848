"""The results of a comparison as a section of docs/internals/performance.md, between two markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

import click

from bench import goals, render_rows
from bench.goals import Goal
from bench.measures import deaths, features, operations, tasks

BEGIN, END = "<!-- comparison: written by `python -m bench report` -->", "<!-- /comparison -->"
PICTURES = {
    "throughput": "messages a second of each arm",
    "latency": "waits under load, by percentile",
    "workers": "throughput by workers",
    "recovery": "recovery after SIGKILL",
    "depth": "drain rate by depth of the queue",
    "memory": "memory of a pool by its number of workers",
}


def into(path: Path, text: str) -> None:
    """Replace the text between the markers. Raises ClickException if they are missing."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise click.ClickException(f"{path} does not have the markers {BEGIN} ... {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def section(results: Mapping[str, Any], folder: Path, beside: Path) -> str:
    """The whole section. It embeds the pictures in `folder`, with paths relative to the file `beside`."""
    verdicts = [goals.from_json(stored) for stored in results["goals"]]
    parts = [_conditions(results), grid(goals.HEADINGS, goals.rows(verdicts)), losses(verdicts)]
    compared = results["measures"].get("arms")
    if compared:
        parts += render_rows.grids(compared, grid)
    if "tasks" in results["measures"]:
        parts.append(grid(tasks.HEADINGS, tasks.rows(results["measures"]["tasks"])))
    if "features" in results["measures"]:
        found = results["measures"]["features"]
        parts.append(grid(features.HEADINGS, features.rows(found)))
        parts.append(grid(operations.HEADINGS, operations.rows(found["operations"])))
    if "deaths" in results["measures"]:
        parts.append(grid(deaths.HEADINGS, deaths.rows(results["measures"]["deaths"])))
    parts += [
        f"![{what}]({(folder / name).relative_to(beside.parent).as_posix()}.png)"
        for name, what in PICTURES.items()
        if (folder / f"{name}.png").exists()
    ]
    return "\n\n".join(parts)


def _conditions(results: Mapping[str, Any]) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in results["conditions"].items())
    rounds = results["settings"]["rounds"]
    return f"Taken in {results['took_s'] / 60:.0f} minutes, {rounds} rounds: {facts}."


def losses(verdicts: Sequence[Goal]) -> str:
    """The goals that were not reached."""
    failed = [goal for goal in verdicts if not goal.passed]
    if not failed:
        return "Every goal was reached."
    lines = [
        f"- {goal.name}: {goal.found.value:,.3g}, wanted {goal.sense} {goal.limit:g} ({goal.note})" for goal in failed
    ]
    return "\n".join([f"Where we lose, {len(failed)} of {len(verdicts)}:", "", *lines])


def grid(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rule = ["---", *["---:"] * (len(headings) - 2), "---"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *lines))
