"""The memory of an extra worker: `python -m bench.memory`, or `python bench/memory.py`.

The handler's module holds 200 MB. Memory is the PSS of the template and all workers, after each worker has handled its
share of the messages; PSS divides a shared page among the processes that share it. With preload on, the workers are
forked from a template that has imported the module; with off, each imports it itself. A forked worker costs the pages
of the small objects that its handler reads, because CPython counts references in the objects. So it is measured
without such objects, and at its worst: with one and with four objects a message, spread over all objects. In percent
of one worker with preload off. Linux only.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import click
import psutil

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import memory_plot, report
from bench.pool import Pool, command, started, wait_until
from bench.server import QUEUE, Server, server

MEGABYTE = 1024 * 1024
BATCH = 10_000
KINDS = {
    "preload on, reads large blocks": ("on", "read"),
    "preload on, and looks at 1 of 380,000 rows": ("on", "look_up"),
    "preload on, and at all 4 objects of it": ("on", "look_through"),
    "preload off": ("off", "look_up"),
}


@dataclass(frozen=True)
class Size:
    """A pool after its messages. Megabytes of PSS; `pool_mb` is without supervisor and janitor."""

    workers: int
    pool_mb: float
    per_worker_mb: float
    template_mb: float


def measure(on: Server, kind: str, workers: int, messages: int) -> Size:
    """Start a pool, let it handle `messages` messages for each worker, and measure its memory."""
    preload, handler = KINDS[kind]
    with started(command(on, workers, f"bench.memory_load:{handler}", f"--preload={preload}")) as pool:
        pool.wait_idle(on, workers)
        goal = on.acked() + messages * workers
        for begin in range(0, messages * workers, BATCH):
            on.mq.publish_messages_to_queue(QUEUE, [None] * min(BATCH, messages * workers - begin))
        wait_until(lambda: on.acked() >= goal, "the messages to be acked", pool)
        wait_until(lambda: on.waiting_clients() >= workers, "the pool to be idle again", pool)
        each = [pss_mb(pid) for pid in pool.workers()]
        template_mb = sum(map(pss_mb, templates(pool)))
        if pool.stop() != 0:
            raise click.ClickException("the pool has ended badly")
    return Size(workers, round(sum(each) + template_mb, 2), round(statistics.mean(each), 2), round(template_mb, 2))


def templates(pool: Pool) -> list[int]:
    """The children that have imported the module and are not workers. The janitor has not imported it."""
    supervisor, *children = pool.processes()
    small = psutil.Process(supervisor).memory_info().rss
    workers = pool.workers()
    return [pid for pid in children if pid not in workers and psutil.Process(pid).memory_info().rss > 2 * small]


def pss_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / MEGABYTE


def extra_mb(sizes: Sequence[Size]) -> float:
    """The average memory that each worker after the first adds."""
    first, last = sizes[0], sizes[-1]
    return (last.pool_mb - first.pool_mb) / (last.workers - first.workers)


@click.command()
@click.option("--messages", type=click.IntRange(min=1), default=10_000, show_default=True, help="For each worker.")
@click.option("--workers", type=click.IntRange(min=2), default=8, show_default=True, help="Of the largest pool.")
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), metavar="DIRECTORY",
              help="Draw memory.png and memory.svg there.  [default: no picture]")  # fmt: skip
@report.options
def main(messages: int, workers: int, plots: Path | None, where: str, json_path: Path | None) -> None:
    """Megabytes of an extra worker, with and without preload."""
    if not sys.platform.startswith("linux"):
        raise click.ClickException("only Linux reports how memory is shared")
    if plots is not None:
        memory_plot.require_library()
    numbers = sorted({1, *(2**power for power in range(1, 10) if 2**power < workers), workers})
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        pools = {kind: [measure(on, kind, number, messages) for number in numbers] for kind in KINDS}
        balance = report.balance(on, QUEUE, len(KINDS) * messages * sum(numbers), acked_before)
    alone_mb = pools["preload off"][0].pool_mb
    results: dict[str, Any] = {
        "benchmark": "memory",
        "conditions": facts,
        "settings": {"messages": messages, "workers": workers},
        "pools": {kind: [asdict(size) for size in sizes] for kind, sizes in pools.items()},
        "alone_mb": alone_mb,
        "extra_worker_mb": {kind: round(extra_mb(sizes), 2) for kind, sizes in pools.items()},
        "extra_worker_percent": {kind: round(100 * extra_mb(sizes) / alone_mb, 1) for kind, sizes in pools.items()},
        "balance": balance,
    }
    show(results, numbers, json_path)
    if plots is not None:
        points = {kind: [(size.workers, size.pool_mb) for size in sizes] for kind, sizes in pools.items()}
        least, *_, most = (results["extra_worker_percent"][kind] for kind in KINDS if KINDS[kind][0] == "on")
        title = f"A module of 200 MB, {messages:,} messages a worker: with preload an extra worker\n"
        title += f"costs {least:g}% of a lone one, and up to {most:g}% if it looks at small objects everywhere"
        for path in memory_plot.draw(points, title, plots):
            click.echo(f"plot: {path}")


def show(results: Mapping[str, Any], numbers: Sequence[int], json_path: Path | None) -> None:
    """The table: a line for each kind of pool."""
    headings = ["MB of the pool", *(f"{n} worker{'s' * (n > 1)}" for n in numbers), "extra worker", "% of a lone one"]
    rows = [
        [
            kind,
            *(f"{size['pool_mb']:,.0f}" for size in sizes),
            f"{results['extra_worker_mb'][kind]:,.1f}",
            f"{results['extra_worker_percent'][kind]:.1f}",
        ]
        for kind, sizes in results["pools"].items()
    ]
    report.publish(results, headings, rows, json_path)


if __name__ == "__main__":
    main()
