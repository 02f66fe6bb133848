"""Results: a table for people, JSON for programs, and the conditions of both."""

from __future__ import annotations

import json
import os
import platform
from importlib import util
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence, TypeVar

import click

import bizzmq
from bench.server import EMBEDDED, Server
from bizzmq.protocol import json_codec
from bizzmq.workers.process import cgroups

F = TypeVar("F", bound=Callable[..., Any])


def options(function: F) -> F:
    """The options of every measurement: --server and --json."""
    function = click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path),
                            help="Also write the results to this file.")(function)  # fmt: skip
    return click.option("--server", "where", default=EMBEDDED, show_default=True, metavar="embedded|URL",
                        help="The server: a private one, or one that nothing else uses.")(function)  # fmt: skip


def conditions(server: Server) -> dict[str, Any]:
    """The conditions of a figure."""
    return {**machine(), **server.about()}


def machine() -> dict[str, Any]:
    """The versions and the machine that a figure belongs to."""
    return {
        "bizzmq": bizzmq.__version__,
        "python": platform.python_version(),
        "hiredis": util.find_spec("hiredis") is not None,
        "codec": json_codec.NAME,
        "system": f"{platform.system()} {platform.machine()}",
        "processors": cgroups.usable_processors(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def balance(server: Server, queue: str, published: int, acked_before: int) -> dict[str, int]:
    """The balance of a measurement's messages. Raises ClickException if one is missing or left."""
    now = server.mq.stats(queue)
    result = {
        "published": published,
        "acked": now.acked - acked_before,
        "left": now.waiting + now.delayed + now.processing + now.dead_lettered,
    }
    result["lost"] = result["published"] - result["acked"] - result["left"]
    if result["lost"] or result["left"]:
        raise click.ClickException(f"the balance is wrong: {result}")
    return result


def publish(results: Mapping[str, Any], headings: Sequence[str], rows: Sequence[Sequence[str]],
            json_path: Path | None) -> None:  # fmt: skip
    """Print the table, the conditions and the balance; write all results as JSON if a path is given."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    for row in (headings, *rows):
        first, *others = (text.rjust(width) for text, width in zip(row, widths))
        click.echo("  ".join([row[0].ljust(widths[0]) if row[0] else first, *others]))
    for part in ("balance", "conditions"):
        click.echo(f"{part}: " + ", ".join(f"{key} {value}" for key, value in results[part].items()))
    if json_path is not None:
        json_path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
