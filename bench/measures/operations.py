"""What operators' operations cost for each message that they concern: many are cancelled, schedules fire.

One process, and no pool. `client` is its CPU time, and that of the scheduler for fires.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable, Mapping, Sequence

import click

from bench import schedules
from bench.fair.lab import Lab
from bench.measures.scale import Scale
from bizzmq import BizzMQ
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection

QUEUE, MOST = "bench", 10_000
HEADINGS = ["operation", "messages", "client us", "server us", "commands", "bytes", ""]
Operation = Callable[[Lab, int], Mapping[str, float]]


def costs(on: Lab, count: int, action: Callable[[], Any]) -> dict[str, float]:
    """What an action costs for each of `count` messages."""
    before, used_s = on.snapshot(), time.process_time()
    action()
    used_s = time.process_time() - used_s
    found = on.snapshot().since(before)
    return {
        "messages": count,
        "client_cpu_us": 1e6 * used_s / count,
        "server_cpu_us": 1e6 * found["cpu_s"] / count,
        "commands": sum(found["calls"].values()) / count,
        "bytes": found["bytes"] / count,
    }


def cancel_waiting(on: Lab, count: int) -> Mapping[str, float]:
    with BizzMQ(on.url) as mq:
        mq.create_queue(QUEUE)
        mq.publish_messages_to_queue(QUEUE, [{"n": n} for n in range(count)])
        found = costs(on, count, lambda: mq.cancel_all(QUEUE))
        left = mq.stats(QUEUE)
    if (left.waiting, left.unaccounted) != (0, 0):
        raise click.ClickException(f"not all messages were cancelled: {left}")
    return found


def fire_schedules(on: Lab, count: int) -> Mapping[str, float]:
    broker = Broker(Connection(on.url))
    with BizzMQ(on.url) as mq:
        mq.create_queue(QUEUE)
    schedules.add(broker, count)
    schedules.set_due(broker, count, 1, 0)
    found = costs(on, count, lambda: schedules.fire_all(broker, QUEUE, count))
    broker.connection.drop()
    return found


OPERATIONS: Mapping[str, Operation] = {
    "cancel of waiting messages": cancel_waiting,
    "fire of a schedule": fire_schedules,
}


def measure(on: Lab, scale: Scale) -> dict[str, list[Mapping[str, float]]]:
    """The costs of each operation in each round."""
    count = min(MOST, scale.plan.most)
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in OPERATIONS}
    for _ in range(scale.rounds):
        for name, operation in OPERATIONS.items():
            on.empty()
            found[name].append(operation(on, count))
    return found


def rows(result: Mapping[str, Sequence[Mapping[str, float]]]) -> list[list[str]]:
    """A line for each operation: medians of all rounds."""
    return [_row(name, rounds) for name, rounds in result.items()]


def _row(name: str, rounds: Sequence[Mapping[str, float]]) -> list[str]:
    def median(figure: str) -> float:
        return statistics.median(one[figure] for one in rounds)

    return [
        name, f"{median('messages'):,.0f}", f"{median('client_cpu_us'):.1f}", f"{median('server_cpu_us'):.1f}",
        f"{median('commands'):.2f}", f"{median('bytes'):,.0f}", "",
    ]  # fmt: skip
