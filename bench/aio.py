"""Publishing with AsyncBizzMQ, beside BizzMQ: `python -m bench aio`, or `python bench/aio.py`.

Each round publishes the same messages with both clients, so that the machine is the same for both: one call after the
other, many messages in one call, and one message a call from 50 tasks. The last one is compared with one thread of
BizzMQ, one call after the other.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Coroutine

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.server import QUEUE, Server, server
from bizzmq import AsyncBizzMQ, BizzMQ

BODY = {"n": 1, "text": "x" * 100}
TASKS = 50
ONE, MANY, CONCURRENT = "one call after the other", "many in one call", f"{TASKS} tasks at once"


def per_second(count: int, begin_s: float) -> float:
    return count / (time.perf_counter() - begin_s)


def blocking(mq: BizzMQ, count: int) -> dict[str, float]:
    """Messages a second of BizzMQ."""
    begin_s = time.perf_counter()
    for _ in range(count):
        mq.publish_message_to_queue(QUEUE, BODY)
    one = per_second(count, begin_s)
    begin_s = time.perf_counter()
    mq.publish_messages_to_queue(QUEUE, [BODY] * 10 * count)
    return {ONE: one, MANY: per_second(10 * count, begin_s), CONCURRENT: one}


async def with_asyncio(url: str, count: int) -> dict[str, float]:
    """Messages a second of AsyncBizzMQ."""
    async with AsyncBizzMQ(url) as mq:
        begin_s = time.perf_counter()
        for _ in range(count):
            await mq.publish_message_to_queue(QUEUE, BODY)
        found = {ONE: per_second(count, begin_s)}
        begin_s = time.perf_counter()
        await mq.publish_messages_to_queue(QUEUE, [BODY] * 10 * count)
        found[MANY] = per_second(10 * count, begin_s)

        async def publish() -> None:
            for _ in range(count // TASKS):
                await mq.publish_message_to_queue(QUEUE, BODY)

        begin_s = time.perf_counter()
        await asyncio.gather(*[publish() for _ in range(TASKS)])
        found[CONCURRENT] = per_second(count // TASKS * TASKS, begin_s)
        return found


Run = Callable[[Coroutine[Any, Any, Any]], Any]


def loops() -> dict[str, Run]:
    """The ways to run a coroutine that are installed."""
    found: dict[str, Run] = {"asyncio": asyncio.run}
    if importlib.util.find_spec("uvloop"):
        new_loop = importlib.import_module("uvloop").new_event_loop

        def run(main: Coroutine[Any, Any, Any]) -> Any:
            loop = new_loop()
            try:
                return loop.run_until_complete(main)
            finally:
                loop.close()

        found["uvloop"] = run
    return found


def measure(on: Server, rounds: int, count: int) -> list[dict[str, dict[str, float]]]:
    """Messages a second by round, kind of client, and way to publish."""
    found = []
    for _ in range(rounds):
        one = {"blocking": blocking(on.mq, count)}
        one.update({name: run(with_asyncio(on.url, count)) for name, run in loops().items()})
        on.mq.purge(QUEUE)
        found.append(one)
    return found


@click.command()
@click.option("--messages", type=click.IntRange(min=TASKS), default=3000, show_default=True, help="Per way to publish.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@report.options
def main(messages: int, rounds: int, where: str, json_path: Path | None) -> None:
    """Messages a second that AsyncBizzMQ publishes, as ratios to BizzMQ."""
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        found = measure(on, rounds, messages)
        balance = report.balance(on, QUEUE, 0, acked_before)
    ratios = {
        name: {
            way: round(statistics.median(one[name][way] / one["blocking"][way] for one in found), 3)
            for way in (ONE, MANY, CONCURRENT)
        }
        for name in found[0]
        if name != "blocking"
    }
    results: dict[str, Any] = {
        "benchmark": "aio", "conditions": facts, "settings": {"messages": messages, "rounds": rounds},
        "rounds": found, "of_blocking": ratios, "balance": balance,
    }  # fmt: skip
    rows = [[way, *(f"{ratios[name][way]:.2f}" for name in ratios)] for way in (ONE, MANY, CONCURRENT)]
    report.publish(results, ["of BizzMQ's messages a second", *ratios], rows, json_path)


if __name__ == "__main__":
    main()
