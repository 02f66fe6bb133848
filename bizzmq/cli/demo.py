"""`bizzmq demo`: a pool loses a worker but no message. With --torture, a pool under many kinds of faults."""

from __future__ import annotations

import random
import sys

import click

from bizzmq.cli.helpers import Number
from bizzmq.demo.demo import Demo
from bizzmq.demo.torture.run import PoolTorture


@click.command()
@click.option("--messages", type=click.IntRange(min=10), default=2000, show_default=True, metavar="N",
              help="How many messages are published.")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N",
              help="Worker processes.  [default: one per processor, at least 2]")  # fmt: skip
@click.option("--torture", is_flag=True, help="Inject many kinds of faults instead.")
@click.option("--seconds", type=Number(min=5), default=60.0, show_default=True, help="How long to inject faults.")
@click.option("--seed", type=int, help="Repeat the same faults.  [default: a new seed each time]")
def demo(messages: int, concurrency: int | None, *, torture: bool, seconds: float, seed: int | None) -> None:
    """Watch a pool lose a worker but no message.

    Starts a private server in a temporary directory, publishes CPU-bound work, runs a pool, kills a worker with
    SIGKILL half-way, and counts. Exits with 0 only if every message was handled.

    With --torture: kills, segfaults, leaks, hangs, reloads of broken code and more for a minute. Exits with 0 only if
    no message was lost, no message was dead-lettered wrongly, and no process is left.
    """
    if torture:
        sys.exit(PoolTorture(seconds, random.randrange(1_000_000) if seed is None else seed).run())
    sys.exit(Demo(messages, concurrency).run())
