"""`python -m bench tasks`: what tasks and their results cost, beside a plain handler and the peers' tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from bench import compare, render
from bench.measures.registry import OWN_NAMES, SCALES


@click.command()
@click.option("--quick", is_flag=True, help="Fewer peers and rounds: a few minutes.")
@click.option("--alone", is_flag=True, help="Without peers, so that nothing has to be installed.")
@click.option("--rounds", type=click.IntRange(min=1), help="Overrides the number of rounds.")
@compare.PEERS_OPTION
@compare.JSON_OPTION
def main(quick: bool, alone: bool, rounds: int | None, peers: str | None, path: Path | None) -> None:
    """No-op drains of tasks, with and without results, publishing, and publish and result from one process.

    The same measurement is a part of `compare`. Peers that keep no results, or are not in Python, are left out.
    """
    scale = SCALES["quick" if quick else "full"](compare.peer_names(peers))
    scale = replace(scale, rounds=rounds or scale.rounds, arms=OWN_NAMES if alone else scale.arms)
    results = compare.measured(["tasks"], scale)
    render.show(results)
    compare.write(results, path)
