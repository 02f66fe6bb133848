"""`python -m bench features`: what each feature costs a message that uses it, beside the same features of peers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from bench import compare, render
from bench.measures.features import PEERS
from bench.measures.registry import OWN_NAMES, SCALES


@click.command()
@click.option("--quick", is_flag=True, help="Shorter and fewer rounds: ten minutes, five with --alone.")
@click.option("--alone", is_flag=True, help="Without peers, so that nothing has to be installed.")
@click.option("--rounds", type=click.IntRange(min=1), help="Overrides the number of rounds.")
@compare.PEERS_OPTION
@compare.JSON_OPTION
def main(quick: bool, alone: bool, rounds: int | None, peers: str | None, path: Path | None) -> None:
    """Publish and handle messages that use one feature, and messages that use none.

    Commands, bytes, and CPU time of publisher, workers and server for each message. The same measurement is a part of
    `compare`. Only bullmq node, rq simple and saq have features that are compared.
    """
    scale = SCALES["quick" if quick else "full"](compare.peer_names(peers) or PEERS)
    scale = replace(scale, rounds=rounds or scale.rounds, arms=OWN_NAMES if alone else scale.arms)
    results = compare.measured(["features"], scale)
    render.show(results)
    compare.write(results, path)
