"""What the samples of a slow message cost it: `python -m bench.sampling`, or `python bench/sampling.py`.

The same message counts how far it gets in a time before the pool begins to sample it, and in the same time after that.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.pool import command, started, wait_until
from bench.server import QUEUE, Server, server
from bizzmq import BizzMQ

HANDLER = "bench.handlers:spinning"


def measure(on: Server, messages: int, seconds: float, depth: int) -> list[float]:
    """The share of its speed that each message loses while it is sampled."""
    losses: list[float] = []
    arguments = command(on, 1, HANDLER, f"--autopsy-after={seconds}")
    with started(arguments) as pool, BizzMQ(on.url) as mq:
        pool.wait_idle(on, 1)
        for _ in range(messages):
            with tempfile.TemporaryDirectory() as folder:
                to = Path(folder, "counts")
                mq.publish_message_to_queue(QUEUE, {"seconds": seconds, "depth": depth, "to": str(to)})
                wait_until(to.exists, "the message to end", pool)
                before, after = json.loads(to.read_text(encoding="utf-8"))
            losses.append(1 - after / before)
        if pool.stop() != 0:
            raise click.ClickException("the pool has ended badly")
    return losses


@click.command()
@click.option("--messages", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Before, and after.")
@click.option("--depth", type=click.IntRange(min=1, max=800), default=25, show_default=True, help="Frames of a stack.")
@report.options
def main(messages: int, seconds: float, depth: int, where: str, json_path: Path | None) -> None:
    """What the samples of a slow message cost it."""
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        losses = measure(on, messages, seconds, depth)
        balance = report.balance(on, QUEUE, messages, acked_before)
    percents = [round(100 * loss, 3) for loss in losses]
    results = {
        "benchmark": "sampling",
        "conditions": facts,
        "settings": {"messages": messages, "seconds": seconds, "depth": depth},
        "lost_percent": percents,
        "balance": balance,
    }
    row = [str(depth), f"{statistics.median(percents):.2f}", f"{min(percents):.2f}", f"{max(percents):.2f}"]
    report.publish(results, ["frames", "median of its time, %", "min", "max"], [row], json_path)


if __name__ == "__main__":
    main()
