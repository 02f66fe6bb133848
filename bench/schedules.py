"""`python -m bench schedules`: how late schedules fire, and what looking after many of them costs.

One scheduler, as each janitor has one, on a private server. `spread` are schedules of an hour whose times are spread
over that hour; `at once` are as many that are all due at one moment. Lateness is by Redis's clock: from the due time to
the script that publishes.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, dataclass
from typing import Any, List

import click

from bench.fair.lab import Lab, lab
from bizzmq import BizzMQ
from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import read_time_ms
from bizzmq.broker.schedules import state_of
from bizzmq.connection.base import Connection
from bizzmq.consumer.lease import Lease
from bizzmq.message import MessageOptions
from bizzmq.schedules.schedule import ScheduleOptions, new_schedule
from bizzmq.schedules.scheduler import Scheduler
from bizzmq.schedules.when import Cron, Interval

QUEUE, HOUR_MS = "bench", 3_600_000
_WARM_S, _BATCH, _LEAST_FIRED = 2.0, 500, 20


@dataclass(frozen=True)
class Fires:
    """The figures of one arm: how many fired in the time, their lateness in ms, CPU in percent of one processor."""

    arm: str
    schedules: int
    seconds: float
    fired: int
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    cpu_percent: float
    server_cpu_percent: float


def add(broker: Broker, count: int) -> None:
    """Add schedules of an hour: half of them by cron line."""
    k = broker.keys(QUEUE)
    for start in range(0, count, _BATCH):
        fields: List[Any] = []
        for number in range(start, min(start + _BATCH, count)):
            when = Interval(HOUR_MS) if number % 2 else Cron("0 * * * *", "Europe/Berlin")
            one = new_schedule(f"s{number}", QUEUE, ScheduleOptions(when), b'{"n":1}', MessageOptions())
            fields += [one.name, one.encode()]
        broker.connection.execute("HSET", k.schedules, *fields)


def set_due(broker: Broker, count: int, first_ms: int, spread_ms: float) -> None:
    """Spread their next times over this time."""
    numbers = random.Random(1)
    for start in range(0, count, _BATCH):
        pairs: List[Any] = []
        for number in range(start, min(start + _BATCH, count)):
            pairs += [first_ms + round(numbers.random() * spread_ms), f"s{number}"]
        broker.connection.execute("ZADD", broker.keys(QUEUE).due, *pairs)


def measure(on: Lab, arm: str, count: int, seconds: float) -> Fires:
    broker = Broker(Connection(on.url))
    broker.connection.execute("FLUSHALL")
    with BizzMQ(on.url) as mq:
        mq.create_queue(QUEUE)
    add(broker, count)
    now_ms = broker.perform(read_time_ms())
    spread_ms = min(HOUR_MS, 1000 * count * seconds / _LEAST_FIRED)
    if arm == "spread":
        set_due(broker, count, now_ms, spread_ms)
    else:
        set_due(broker, count, now_ms + round(2000 * _WARM_S), 0)
    scheduler, lease = Scheduler(broker, None), Lease(broker, "bench", [QUEUE])
    scheduler.note(QUEUE, True)
    _run(scheduler, lease, _WARM_S)
    before_s, server_s, begin_s = time.process_time(), on.snapshot().cpu_s, time.perf_counter()
    since_ms = broker.perform(read_time_ms())
    _run(scheduler, lease, seconds)
    took_s = time.perf_counter() - begin_s
    used_s, server_s = time.process_time() - before_s, on.snapshot().cpu_s - server_s
    states = [state_of(one) for one in broker.connection.execute("HVALS", broker.keys(QUEUE).fires)]
    broker.connection.drop()
    late = sorted(one.at_ms - one.due_ms for one in states if one.at_ms >= since_ms)
    if not late:
        raise click.ClickException("no schedule has fired: take more seconds")
    return Fires(
        arm, count, round(took_s, 1), len(late), late[len(late) // 2], late[int(len(late) * 0.99)], late[-1],
        100 * used_s / took_s, 100 * server_s / took_s,
    )  # fmt: skip


def fire_all(broker: Broker, queue: str, count: int) -> None:
    """Run a scheduler until it has fired this number of schedules, which are all due."""
    scheduler, lease = Scheduler(broker, None), Lease(broker, "bench", [queue])
    scheduler.note(queue, True)
    while int(broker.connection.execute("HLEN", broker.keys(queue).fires)) < count:
        scheduler.tick(lease)


def _run(scheduler: Scheduler, lease: Lease, seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while True:
        wait_s = scheduler.tick(lease)
        left_s = end_s - time.perf_counter()
        if left_s <= 0:
            return
        time.sleep(min(wait_s, left_s))


@click.command()
@click.option("--schedules", default=10_000, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="How long each arm is measured.")
@click.option("--json", "as_json", is_flag=True)
def main(schedules: int, seconds: float, as_json: bool) -> None:
    """How late schedules fire, and the CPU time of the process that looks after them."""
    with lab() as on:
        found = [measure(on, arm, schedules, seconds) for arm in ("spread", "at once")]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        click.echo(
            f"{one.schedules:,} schedules, {one.arm}: {one.fired:,} fired in {one.seconds:g} s, late by "
            f"{one.late_p50_ms:g} ms (p50), {one.late_p99_ms:g} ms (p99), {one.late_max_ms:g} ms (most); "
            f"{one.cpu_percent:.2f} % of a core, server {one.server_cpu_percent:.2f} %"
        )
