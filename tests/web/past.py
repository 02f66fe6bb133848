"""Writes a past into the history of a queue, as a pool would have: for pictures, and for tests of long times."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from typing import Dict, List

from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.metrics.columns import BOUNDS_S, CPU, DEATHS, MEMORY, OUTCOMES, RUN, WAIT
from bizzmq.metrics.deploys import start_bytes
from bizzmq.metrics.history import Report, roll_up
from bizzmq.metrics.pool_usage import KEPT_S, PoolUsage, SlotStep, UsageStep
from bizzmq.metrics.steps import Cells, Sample, Step
from bizzmq.protocol.pool_report import PoolReport

STEP_S = 10
_SUCCEEDED, _DEAD_LETTERED = OUTCOMES.index("succeeded"), OUTCOMES.index("dead_lettered")


def write_past(redis: Redis, queue: str, tasks: Dict[str, float], hours: float = 1.0, *, deaths: int = 0) -> None:
    """Give a queue a past in which each of these tasks has run for some seconds a time, and been deployed once.

    Its totals become those of that past: call it for a queue without any.
    """
    now_s = int(time.time())
    reports: Dict[bytes, Report] = {}
    acked, dead = 0, 0
    recent: List[bytes] = []
    for index in range(int(hours * 3600) // STEP_S, 0, -1):
        at_ms = (now_s - index * STEP_S) * 1000
        wave = max(0.1, 1 + math.sin(index / 40) + 0.4 * math.sin(index / 7))
        count, failed = max(1, round(8 * wave)), 2 if 30 < index % 90 < 42 else 0
        acked, dead = acked + count * len(tasks), dead + failed * len(tasks)
        totals = (acked + dead, 0, acked, 0, dead, 0, 0, 0, 0)
        step = Step(Sample(at_ms, *totals, round(10 * wave), 0, round(12 * wave), 0, dead, round(900 * wave**2)))
        for task, run_s in tasks.items():
            step.rows[task] = _cells(count, failed, run_s * (0.6 + 0.3 * wave))
        step.total = _cells(count * len(tasks), failed * len(tasks), sum(tasks.values()) / len(tasks))
        if deaths and index == 60:
            first = next(iter(step.rows.values()))
            first[DEATHS] = first.get(DEATHS, 0) + deaths
        reports[b"r:past:%d" % index] = Report(at_ms, step)
        if index * STEP_S <= 900:
            recent.append(b" ".join(b"%d" % number for number in (at_ms, *totals)))
    fields = dict(roll_up(dict(reports), {}, {}, [], now_s * 1000).chunks)
    for code, ago_s in (("1.4.1", hours * 3600 - 60), ("1.4.2", 500)):
        stamp = b"%d " % ((now_s - ago_s) * 1000)
        fields[b"d:past-" + code.encode()] = stamp + start_bytes(code, "0.1.0", "shop.tasks:app")
    prefix = f"bizzmq:{{{queue}}}:"
    ages = b"".join(
        b"%d %d\n" % (now_s // 60 - ago, round(20_000 + 18_000 * math.sin(ago / 3))) for ago in range(15, -1, -1)
    )
    redis.hset(f"{prefix}metrics", mapping={**fields, b"recent": b"\n".join(recent), b"ages": ages})
    redis.hset(f"{prefix}stats", mapping={"published": acked + dead, "acked": acked, "dead_lettered": dead})


def write_pool(broker: Broker, queue: str, slots: int = 6) -> str:
    """Give a queue a pool that has noted an hour of its use; returns its id. It never beats again."""
    pool, now_s = "worker-3:0a1b2c3d:4711:9f8e7d6c", int(time.time())
    target = {"target": "shop.tasks:app", "code": "1.4.2", "version": "0.1.0", "python": "3.12.7"}
    report = PoolReport(**target, workers=slots, busy=slots // 2, beat_s=3600.0, asked_on=queue)
    usage = PoolUsage()
    for index in range(KEPT_S // STEP_S, -1, -1):
        wave = max(0.1, 1 + math.sin(index / 40) + 0.4 * math.sin(index / 7))
        of_slots = {
            slot: SlotStep(round(60_000 + 400 * (360 - index) * (slot == 2) + 9000 * wave), round(300 * wave))
            for slot in range(slots)
        }
        memory_kb, cpu = (sum(getattr(one, name) for one in of_slots.values()) for name in ("memory_kb", "cpu_milli"))
        step = UsageStep(memory_kb, cpu, min(1000 * slots, round(400 * slots * wave)), slots)
        usage.add(now_s - index * STEP_S, step, of_slots)
    broker.register(queue, pool)
    broker.report(queue, pool, report.encode(), 3_600_000)
    broker.add_metrics(queue, pool, 1, b"", b"", usage.encode())
    return pool


def _cells(count: int, failed: int, run_s: float) -> Cells:
    cells: Cells = {_SUCCEEDED: count, _DEAD_LETTERED: failed}
    for column, seconds in ((RUN, run_s), (WAIT, run_s / 3)):
        cells[column] = round((count + failed) * seconds * 1e6)
        slow = count // 10
        for number, spread in ((count + failed - slow, 1.0), (slow, 3.5)):
            place = column + 1 + bisect_left(BOUNDS_S, seconds * spread)
            cells[place] = cells.get(place, 0) + number
    cells[CPU], cells[MEMORY] = round((count + failed) * run_s * 4e5), round(60_000 + 40_000 * run_s)
    return cells
