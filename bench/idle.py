"""The cost of an idle pool: `python -m bench.idle`, or `python bench/idle.py`.

It counts the commands that the whole pool sends, including its janitor's, those that Redis runs for them inside
scripts, and the CPU time of all its processes.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.pool import command, cpu_s, started
from bench.server import QUEUE, Server, server

SENT = ("evalsha", "eval", "bzpopmin", "hgetall", "hello", "auth", "select", "sadd", "ping")
"""The commands that a pool sends; all other counted commands run inside its scripts."""
OWN = "info"
"""The command that this measurement itself sends."""


@dataclass(frozen=True)
class Idle:
    """The figures of an idle pool: commands a second for each worker, CPU time in percent of one processor."""

    workers: int
    boot_s: float
    sent_per_worker_s: float
    all_per_worker_s: float
    pool_cpu_percent: float
    server_cpu_percent: float


def measure(on: Server, workers: int, seconds: float) -> Idle:
    """Start a pool, measure it while it is idle for `seconds` seconds, and end it."""
    with started(command(on, workers, "bench.handlers:noop")) as pool:
        pool.wait_idle(on, workers)
        time.sleep(1.0)  # the supervisor and the janitor finish their start
        processes = pool.processes()
        before, used_s, server_s, begin_s = on.calls(), cpu_s(processes), on.cpu_s(), time.perf_counter()
        time.sleep(seconds)
        after, took_s = on.calls(), time.perf_counter() - begin_s
        used_s, server_s = cpu_s(processes) - used_s, on.cpu_s() - server_s
        if pool.stop() != 0:
            raise click.ClickException("the pool has ended badly")
    calls = {name: count - before.get(name, 0) for name, count in after.items()}
    return Idle(
        workers=workers,
        boot_s=round(pool.boot_s, 3),
        sent_per_worker_s=sum(calls.get(name, 0) for name in SENT) / took_s / workers,
        all_per_worker_s=(sum(calls.values()) - calls[OWN]) / took_s / workers,
        pool_cpu_percent=100 * used_s / took_s,
        server_cpu_percent=100 * server_s / took_s,
    )


@click.command()
@click.option("--workers", "sizes", type=click.IntRange(min=1), multiple=True, default=(8, 64), show_default=True,
              help="Of one pool; repeat it for several pools, one after the other.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0.1), default=20.0, show_default=True, help="For each.")
@report.options
def main(sizes: tuple[int, ...], seconds: float, where: str, json_path: Path | None) -> None:
    """Commands and CPU time of an idle pool."""
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        done = [measure(on, workers, seconds) for workers in sizes]
        balance = report.balance(on, QUEUE, 0, acked_before)
    results = {
        "benchmark": "idle",
        "conditions": facts,
        "settings": {"seconds": seconds},
        "pools": [asdict(one) for one in done],
        "balance": balance,
    }
    headings = ["workers", "booted after s", "sent/worker/s", "all/worker/s", "pool CPU %", "server CPU %"]
    rows = [
        [str(one.workers), f"{one.boot_s:.2f}", f"{one.sent_per_worker_s:.2f}", f"{one.all_per_worker_s:.2f}",
         f"{one.pool_cpu_percent:.2f}", f"{one.server_cpu_percent:.2f}"]
        for one in done
    ]  # fmt: skip
    report.publish(results, headings, rows, json_path)


if __name__ == "__main__":
    main()
