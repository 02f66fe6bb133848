"""Throughput of a real pool with no-op messages: `python -m bench.drain`, or `python bench/drain.py`.

The workers start, do a warm-up that is not counted, and wait. For each round they are suspended while all
messages are published, so that no publisher competes with them. The time is counted from their release to the last ack.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import bare, report
from bench.pool import Pool, command, cpu_s, started, wait_until
from bench.server import QUEUE, Server, server
from bizzmq.consumer.prefetch import DEFAULT_LIMIT


@dataclass(frozen=True)
class Round:
    """One round. CPU time in microseconds for each message; `of_bare` is the share of the yardstick's rate."""

    messages_per_s: float
    worker_cpu_us: float
    server_cpu_us: float
    evalsha_per_message: float
    bare_messages_per_s: float
    of_bare: float


def measure(on: Server, pool: Pool, messages: int, prefetch: int) -> Round:
    """One round, after a measurement of the yardstick while the pool is idle."""
    yardstick = bare.messages_per_s(on, messages, prefetch)
    workers = pool.workers()
    goal = on.acked() + messages
    with pool.paused():
        on.mq.publish_messages_to_queue(QUEUE, [{"n": n} for n in range(messages)])
        worker_s, server_s, calls = cpu_s(workers), on.cpu_s(), on.calls()["evalsha"]
        begin_s = time.perf_counter()
    wait_until(lambda: on.acked() >= goal, "the messages to be acked", pool)
    took_s = time.perf_counter() - begin_s
    rate = messages / took_s
    return Round(
        messages_per_s=rate,
        worker_cpu_us=1e6 * (cpu_s(workers) - worker_s) / messages,
        server_cpu_us=1e6 * (on.cpu_s() - server_s) / messages,
        evalsha_per_message=(on.calls()["evalsha"] - calls) / messages,
        bare_messages_per_s=yardstick,
        of_bare=rate / yardstick,
    )


def warm_up(on: Server, pool: Pool, workers: int) -> None:
    """Let the adaptive prefetch of every worker settle."""
    goal = on.acked() + 2000 * workers
    on.mq.publish_messages_to_queue(QUEUE, [{"n": n} for n in range(2000 * workers)])
    wait_until(lambda: on.acked() >= goal, "the warm-up", pool)
    wait_until(lambda: on.waiting_clients() >= workers, "the pool to be idle again", pool)


def row(name: str, of: Round) -> list[str]:
    """A line of the table."""
    return [
        name, f"{of.messages_per_s:,.0f}", f"{of.worker_cpu_us:.1f}", f"{of.server_cpu_us:.1f}",
        f"{of.evalsha_per_message:.4f}", f"{of.bare_messages_per_s:,.0f}", f"{of.of_bare:.2f}",
    ]  # fmt: skip


@click.command()
@click.option("--messages", type=click.IntRange(min=1), default=100_000, show_default=True, help="In a round.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--prefetch", type=click.IntRange(1, 100), default=DEFAULT_LIMIT, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@report.options
def main(messages: int, workers: int, prefetch: int, rounds: int, where: str, json_path: Path | None) -> None:
    """No-op messages a second through a real pool, and the cost of one."""
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        with started(command(on, workers, "bench.handlers:noop", f"--prefetch={prefetch}")) as pool:
            pool.wait_idle(on, workers)
            warm_up(on, pool, workers)
            done = [measure(on, pool, messages, prefetch) for _ in range(rounds)]
            code = pool.stop()
        balance = report.balance(on, QUEUE, rounds * messages + 2000 * workers, acked_before)
    medians = {name: statistics.median(asdict(one)[name] for one in done) for name in asdict(done[0])}
    results = {
        "benchmark": "drain",
        "conditions": facts,
        "settings": {"messages": messages, "workers": workers, "prefetch": prefetch, "rounds": rounds},
        "boot_s": round(pool.boot_s, 3),
        "median": medians,
        "rounds": [asdict(one) for one in done],
        "balance": balance,
        "pool_exit_code": code,
    }
    headings = ["round", "messages/s", "worker us", "server us", "EVALSHA", "bare loop/s", "of bare"]
    lines = [row(str(number), one) for number, one in enumerate(done, start=1)]
    report.publish(results, headings, [*lines, row("median", Round(**medians))], json_path)


if __name__ == "__main__":
    main()
