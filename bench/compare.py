"""`python -m bench compare` and `run`: BizzMQ, its peers and bare loops in one run, with a verdict on each goal."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Mapping, Sequence

import click

from bench import goals, report
from bench.fair.lab import lab
from bench.measures import arms_goals, features
from bench.measures.registry import MEASURES, SCALES
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.own import OWN_ARMS

PEERS = [name for name in ARMS if name not in {peer.name for peer in OWN_ARMS}]


def conditions() -> dict[str, Any]:
    """The machine and the versions that the figures belong to."""
    with lab() as on:
        facts = on.about()
    return {**report.machine(), "date": time.strftime("%Y-%m-%d"), **facts}


def measured(names: Sequence[str], scale: Scale) -> dict[str, Any]:
    """The results of these measurements, with everything that a report needs."""
    begin_s = time.monotonic()
    facts, failed = conditions(), {}
    found: dict[str, Any] = {}
    for name in names:
        click.echo(f"== {name}: {MEASURES[name].what}", err=True)
        try:
            found[name] = MEASURES[name].measure(scale)
        except click.ClickException as error:  # the other measurements go on
            failed[name] = error.message
    verdicts = [goal.to_json() for name, result in found.items() for goal in MEASURES[name].goals(result)]
    return {
        "benchmark": "compare",
        "conditions": facts,
        "settings": asdict(scale),
        "took_s": round(time.monotonic() - begin_s, 1),
        "measures": found,
        "failed": failed,
        "goals": verdicts,
    }


def show(results: Mapping[str, Any]) -> None:
    """Print the goals, the peers that were left out, and the noise floor."""
    verdicts = [goals.from_json(stored) for stored in results["goals"]]
    click.echo(goals.table(goals.HEADINGS, goals.rows(verdicts)))
    for measure, noise in (("arms", arms_goals.noise), ("tasks", arms_goals.noise), ("features", features.noise)):
        compared = results["measures"].get(measure, {"arms": {}, "skipped": {}})
        floor = noise(compared)
        if floor is not None:
            click.echo(
                f"noise floor of {measure}: two equal arms differ by up to {100 * floor:.0f}%; smaller differences say"
                " nothing"
            )
        for name, why in compared["skipped"].items():
            click.echo(f"skipped: {name}: {why}")
    for name, why in results.get("failed", {}).items():
        click.echo(f"not measured: {name}: {why}")
    reached = sum(goal.passed for goal in verdicts)
    click.echo(f"{reached} of {len(verdicts)} goals reached, in {results['took_s']:.0f} s")
    click.echo("conditions: " + ", ".join(f"{key} {value}" for key, value in results["conditions"].items()))


def publish(results: Mapping[str, Any], path: Path | None) -> None:
    show(results)
    write(results, path)


def write(results: Mapping[str, Any], path: Path | None) -> None:
    """Write the results to this file, if one is given."""
    if path is not None:
        path.write_text(json.dumps(results) + "\n", encoding="utf-8")


def peer_names(text: str | None) -> list[str]:
    """The peers that --peers names."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise click.ClickException(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return names


PEERS_OPTION = click.option("--peers", metavar="NAME,NAME", help=f"Of {', '.join(PEERS)}.")
JSON_OPTION = click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path),
                           help="Write all results to this file, which `report` reads.")  # fmt: skip


@click.command()
@click.option("--quick", is_flag=True, help="Take a quarter of an hour: fewer peers and rounds, 200,000 messages deep.")
@PEERS_OPTION
@JSON_OPTION
def compare(quick: bool, peers: str | None, path: Path | None) -> None:
    """Run everything and print ratio, interval and verdict of every goal. Takes an hour or more without --quick."""
    publish(measured(list(MEASURES), SCALES["quick" if quick else "full"](peer_names(peers))), path)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=click.Choice(list(MEASURES)))
@click.option("--rounds", type=click.IntRange(min=1), help="Overrides the number of the scale.")
@click.option("--scale", type=click.Choice(list(SCALES)), default="quick", show_default=True)
@PEERS_OPTION
@JSON_OPTION
def run(names: Sequence[str], scale: str, rounds: int | None, peers: str | None, path: Path | None) -> None:
    """Run single measurements of a comparison, such as arms, cpu, recovery or depth."""
    chosen = SCALES[scale](peer_names(peers))
    publish(measured(names, replace(chosen, rounds=rounds or chosen.rounds)), path)
