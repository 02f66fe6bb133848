"""What a comparison has found, as a section of docs/performance.md between two markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

import click

from bench import goals, render_rows
from bench.goals import Goal
from bench.measures import deaths

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
    """Replace what stands between the markers. ClickException if they are not there."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise click.ClickException(f"{path} has no place for it: {BEGIN} ... {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def section(results: Mapping[str, Any], folder: Path, beside: Path) -> str:
    """All of it. Pictures that lie in `folder` are embedded, seen from the file `beside`."""
    verdicts = [goals.from_json(stored) for stored in results["goals"]]
    parts = [_conditions(results), grid(goals.HEADINGS, goals.rows(verdicts)), losses(verdicts)]
    compared = results["measures"].get("arms")
    if compared:
        parts += render_rows.grids(compared, grid)
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
    """Plainly, what was not reached."""
    failed = [goal for goal in verdicts if not goal.passed]
    if not failed:
        return "Every goal was reached."
    lines = [
        f"- {goal.name}: {goal.found.value:,.3g}, wanted {goal.sense} {goal.limit:g} ({goal.note})" for goal in failed
    ]
    return "\n".join([f"Where we lose, {len(failed)} of {len(verdicts)}:", "", *lines])


def grid(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    rule = ["---", *["---:"] * (len(headings) - 2), "---"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *lines))
