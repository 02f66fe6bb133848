"""The effect of --library-threads: `python -m bench threads`.

Each round runs a pool for each setting of `--library-threads` on the same work: matrix products and fits of a small
model. Needs numpy and scikit-learn.
"""

from __future__ import annotations

import statistics
import sys
import time
from importlib import util
from pathlib import Path
from typing import Any

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.pool import command, started, wait_until
from bench.server import QUEUE, Server, server
from bizzmq.workers.process import cgroups

WORKS = ("product", "fit")
SETTINGS = ("off", "auto")


def measure(on: Server, setting: str, work: str, messages: int, workers: int) -> float:
    """Messages a second from the first to the last, once all workers are waiting."""
    handler = f"bench.library_threads_work:{work}"
    with started(command(on, workers, handler, f"--library-threads={setting}")) as pool:
        pool.wait_idle(on, workers)
        before = on.acked()
        begin_s = time.monotonic()
        on.mq.publish_messages_to_queue(QUEUE, [None] * messages)
        wait_until(lambda: on.acked() - before == messages, f"{messages} messages", pool)
        took_s = time.monotonic() - begin_s
        if pool.stop() != 0:
            raise click.ClickException("the pool has ended badly")
    return messages / took_s


@click.command()
@click.option("--messages", type=click.IntRange(min=1), default=16, show_default=True, help="A round.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=cgroups.usable_processors(), show_default=True)
@report.options
def main(messages: int, rounds: int, workers: int, where: str, json_path: Path | None) -> None:
    """Messages a second of numerical work, with and without --library-threads."""
    if not (util.find_spec("numpy") and util.find_spec("sklearn")):
        raise click.ClickException("this needs numpy and scikit-learn: pip install numpy scikit-learn")
    rates: dict[str, dict[str, list[float]]] = {work: {setting: [] for setting in SETTINGS} for work in WORKS}
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        for _ in range(rounds):
            for work in WORKS:
                for setting in SETTINGS:
                    rates[work][setting].append(measure(on, setting, work, messages, workers))
        balance = report.balance(on, QUEUE, rounds * len(WORKS) * len(SETTINGS) * messages, acked_before)
    medians = {work: {setting: statistics.median(rates[work][setting]) for setting in SETTINGS} for work in WORKS}
    results: dict[str, Any] = {
        "benchmark": "threads",
        "conditions": facts,
        "settings": {"messages": messages, "rounds": rounds, "workers": workers},
        "per_s": {work: {setting: round(rate, 2) for setting, rate in of.items()} for work, of in medians.items()},
        "times_as_fast": {work: round(of["auto"] / of["off"], 2) for work, of in medians.items()},
        "balance": balance,
    }
    rows = [
        [work, f"{of['off']:,.1f}", f"{of['auto']:,.1f}", f"{of['auto'] / of['off']:.2f}"]
        for work, of in medians.items()
    ]
    report.publish(results, ["messages a second", "off", "auto", "times as fast"], rows, json_path)


if __name__ == "__main__":
    main()
