"""What an extra worker costs in memory, and how soon a killed one is back: `python -m bench.memory`.

The handler's module holds 200 MB. Memory is PSS, which counts a shared page once among all its sharers, of the
template and all workers, after each worker's share of the messages. With --preload on the workers are forked from
a template that has imported the module, with off each imports it by itself. Linux only.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Sequence

import click
import psutil

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import memory_plot, report, respawn
from bench.pool import command, started, wait_until
from bench.server import QUEUE, Server, server

MEGABYTE = 1024 * 1024
BATCH = 10_000


@dataclass(frozen=True)
class Size:
    """A pool after its messages. Megabytes of PSS; `pool_mb` is without supervisor and janitor."""

    preload: str
    workers: int
    pool_mb: float
    per_worker_mb: float
    template_mb: float


def measure(on: Server, preload: str, workers: int, messages: int) -> Size:
    """Start a pool, have it handle so many messages for each worker, and weigh it."""
    with started(command(on, workers, "bench.memory_load:look_up", f"--preload={preload}")) as pool:
        pool.wait_idle(on, workers)
        goal = on.acked() + messages * workers
        for begin in range(0, messages * workers, BATCH):
            count = min(BATCH, messages * workers - begin)
            on.mq.publish_messages_to_queue(QUEUE, [None] * count)
        wait_until(lambda: on.acked() >= goal, "the messages to be acked", pool)
        wait_until(lambda: on.waiting_clients() >= workers, "the pool to be idle again", pool)
        each = [pss_mb(pid) for pid in pool.workers()]
        supervisor, *children = pool.processes()
        template = sum(pss_mb(pid) for pid in children if is_template(pid, supervisor, pool.workers()))
        if pool.stop() != 0:
            raise click.ClickException("the pool has ended badly")
    return Size(preload, workers, round(sum(each) + template, 2), round(statistics.mean(each), 2), round(template, 2))


def is_template(pid: int, supervisor: int, workers: Sequence[int]) -> bool:
    """Whether this child holds the module without being a worker; the janitor shares the supervisor's memory only."""
    uss = psutil.Process(pid).memory_info().rss
    return pid not in workers and uss > 2 * psutil.Process(supervisor).memory_info().rss


def pss_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / MEGABYTE


def extra_mb(sizes: Sequence[Size]) -> float:
    """What each worker after the first has added, on average."""
    first, last = sizes[0], sizes[-1]
    return (last.pool_mb - first.pool_mb) / (last.workers - first.workers)


@click.command()
@click.option("--messages", type=click.IntRange(min=1), default=10_000, show_default=True, help="For each worker.")
@click.option("--workers", type=click.IntRange(min=2), default=8, show_default=True, help="Of the largest pool.")
@click.option("--kills", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), metavar="DIRECTORY",
              help="Draw memory.png and memory.svg there.  [default: no picture]")  # fmt: skip
@report.options
def main(messages: int, workers: int, kills: int, plots: Path | None, where: str, json_path: Path | None) -> None:
    """Megabytes of an extra worker, and milliseconds until a killed worker with a slow import is replaced."""
    if not sys.platform.startswith("linux"):
        raise click.ClickException("only Linux tells how memory is shared")
    numbers = sorted({1, *(2**power for power in range(1, 10) if 2**power < workers), workers})
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        pools = {name: [measure(on, name, number, messages) for number in numbers] for name in ("on", "off")}
        respawned = {
            name: respawn.measure(on, name, count) for name, count in (("on", kills), ("off", 1 + kills // 10))
        }
        published = 2 * messages * sum(numbers) + sum(len(took_s) for took_s in respawned.values())
        balance = report.balance(on, QUEUE, published, acked_before)
    alone_mb = pools["off"][0].pool_mb
    results: dict[str, Any] = {
        "benchmark": "memory",
        "conditions": facts,
        "settings": {"messages": messages, "workers": workers, "kills": kills},
        "pools": {name: [asdict(size) for size in sizes] for name, sizes in pools.items()},
        "alone_mb": alone_mb,
        "extra_worker_mb": {name: round(extra_mb(sizes), 2) for name, sizes in pools.items()},
        "extra_worker_percent": {name: round(100 * extra_mb(s) / alone_mb, 1) for name, s in pools.items()},
        "respawn_ms": {
            name: {"median": round(1000 * statistics.median(took_s), 2), "max": round(1000 * max(took_s), 2)}
            for name, took_s in respawned.items()
        },
        "all_respawn_ms": {name: [round(1000 * each, 2) for each in took_s] for name, took_s in respawned.items()},
        "balance": balance,
    }
    show(results, numbers, json_path)
    if plots is not None:
        points = {f"preload {name}": [(size.workers, size.pool_mb) for size in sizes] for name, sizes in pools.items()}
        extra = results["extra_worker_percent"]["on"]
        title = f"A module of 200 MB: an extra worker costs {extra:g}% of a lone one, after {messages:,} messages each"
        for path in memory_plot.draw(points, title, plots):
            click.echo(f"plot: {path}")


def show(results: dict[str, Any], numbers: Sequence[int], json_path: Path | None) -> None:
    """The table, with a line for each kind of pool."""
    headings = ["preload", *(f"{number} workers MB" for number in numbers), "extra worker MB", "of a lone one %",
                "respawn ms", "max ms"]  # fmt: skip
    rows = [
        [
            name,
            *(f"{size['pool_mb']:,.0f}" for size in sizes),
            f"{results['extra_worker_mb'][name]:,.1f}",
            f"{results['extra_worker_percent'][name]:.1f}",
            f"{results['respawn_ms'][name]['median']:,.1f}",
            f"{results['respawn_ms'][name]['max']:,.1f}",
        ]
        for name, sizes in results["pools"].items()
    ]
    report.publish(results, headings, rows, json_path)


if __name__ == "__main__":
    main()
