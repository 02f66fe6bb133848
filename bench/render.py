"""`python -m bench report FILE`: the tables of a comparison, and its pictures."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, Mapping

import click

from bench import compare, markdown, memory_plot, plots, render_rows
from bench.goals import table
from bench.measures import deaths, features, operations, tasks


def workers_text(result: Mapping[str, Any]) -> str:
    """Messages a second by the number of workers."""
    sizes = list(next(iter(result["per_s"].values())))
    lines = [[kind, *(f"{statistics.median(by_size[size]):,.0f}" for size in sizes), ""]
             for kind, by_size in result["per_s"].items()]  # fmt: skip
    return table(["no-op messages/s by workers", *sizes, ""], lines)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--plots", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIRECTORY",
              help="Draw the pictures in this folder, as PNG and SVG.  [default: none]")  # fmt: skip
@click.option("--into", "page", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Write everything between the markers of this page, with the pictures of --plots.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the goals as JSON instead.")
def main(source: Path, folder: Path | None, page: Path | None, as_json: bool) -> None:
    """Tables and pictures of the results that `compare --json` or `run --json` has written."""
    if folder is not None:
        memory_plot.require_library()
    results = json.loads(source.read_text(encoding="utf-8"))
    if as_json:
        click.echo(json.dumps({"goals": results["goals"], "conditions": results["conditions"]}, indent=2))
    else:
        show(results)
    if folder is not None:
        for path in plots.draw_all(results["measures"], folder):
            click.echo(f"plot: {path}", err=True)
    if page is not None:
        markdown.into(page, markdown.section(results, folder or page.parent / "plots", page))


def show(results: Mapping[str, Any]) -> None:
    """Print all tables, the goals last."""
    measures = results["measures"]
    if "arms" in measures:
        click.echo("\n\n".join(render_rows.grids(measures["arms"], table)) + "\n")
    if "tasks" in measures:
        click.echo(table(tasks.HEADINGS, tasks.rows(measures["tasks"])) + "\n")
    if "features" in measures:
        click.echo(table(features.HEADINGS, features.rows(measures["features"])) + "\n")
        click.echo(table(operations.HEADINGS, operations.rows(measures["features"]["operations"])) + "\n")
    if "deaths" in measures:
        click.echo(table(deaths.HEADINGS, deaths.rows(measures["deaths"])) + "\n")
    if "workers" in measures:
        click.echo(workers_text(measures["workers"]) + "\n")
    compare.show(results)
