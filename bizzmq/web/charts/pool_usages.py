"""What pools use: kept for some seconds, and as curves."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.admin.activity.pools import PoolInfo
from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.broker.operations import Operation
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.metrics.pool_usage import KEPT_S, SLOT_STEP_S, STEP_S, PoolsOfQueue, PoolUsage, UsageStep, read_usages
from bizzmq.metrics.series import Deploy
from bizzmq.protocol.keys import QueueKeys
from bizzmq.web.charts.paths import Numbers, area, line
from bizzmq.web.charts.queue_charts import Chart, Series, most_of
from bizzmq.web.charts.sparklines import Sparkline
from bizzmq.web.rendering import size

MOST_POOLS = 100
"""The pools whose usage one page reads."""
_KEPT_S, _MOST_KEPT = 10.0, 8
_MINUTE = 60 // STEP_S


class Usages(NamedTuple):
    """What some pools use, by their ids, and the deploys of the last hour, oldest first."""

    pools: Mapping[str, PoolUsage]
    deploys: Sequence[Deploy]


class KeptUsages:
    """What pools use; it may be ten seconds old, as the pools note it."""

    def __init__(self, client: AsyncBizzMQ) -> None:
        self._client = client
        self._kept: Dict[Tuple[str, ...], Tuple[float, Usages]] = {}

    async def read(self, pools: Iterable[PoolInfo], now_s: float) -> Usages:
        """What these pools use, the first ones if they are too many. Raises BizzMQError.

        Args:
            now_s: Redis's clock, seconds since the epoch.
        """
        chosen = [pool for pool in pools if pool.asked_on][:MOST_POOLS]
        key = tuple(pool.id for pool in chosen)
        read_s, found = self._kept.pop(key, (-1e9, Usages({}, ())))
        if time.monotonic() - read_s > _KEPT_S:
            read_s, found = time.monotonic(), await self._read(chosen, now_s)
        self._kept[key] = read_s, found
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return found

    async def _read(self, pools: Sequence[PoolInfo], now_s: float) -> Usages:
        by_queue: Dict[str, List[str]] = {}
        for pool in pools:
            by_queue.setdefault(pool.asked_on, []).append(pool.id)
        begins_s = int(now_s) - KEPT_S
        parts = await self._client._perform_all(  # noqa: SLF001 - private to users, not to this package
            lambda: [_permitted(queue, names, begins_s) for queue, names in by_queue.items()]
        )
        usages = {pool: usage for part in parts for pool, usage in part.usages.items()}
        return Usages(usages, _distinct([deploy for part in parts for deploy in part.deploys]))


def _permitted(queue: str, pools: Sequence[str], begins_s: int) -> Operation[PoolsOfQueue]:
    """As `read_usages`; nothing if the queue cannot be read."""
    try:
        return (yield from read_usages(QueueKeys(queue), pools, begins_s))
    except (*QUEUE_TROUBLE, CommandRefusedError):
        return PoolsOfQueue({}, ())


def _distinct(deploys: Sequence[Deploy]) -> List[Deploy]:
    """Deploys of several queues, oldest first. One that several queues know counts once."""
    found: Dict[Tuple[str, str, str], Deploy] = {}
    for one in sorted(deploys, key=lambda deploy: -deploy.at_s):
        found[one.code, one.version, one.target] = one
    return sorted(found.values(), key=lambda deploy: deploy.at_s)


def numbers_of(steps: Mapping[int, Any], name: str, step_s: int, now_s: float) -> List[Optional[float]]:
    """One column of the steps of the last hour, oldest first; None for the steps that are missing."""
    last = int(now_s) // step_s
    known = ((number, steps.get(number)) for number in range(last - KEPT_S // step_s, last))
    return [None if step is None else float(getattr(step, name)) for _, step in known]


def of_minutes(numbers: Numbers) -> List[Optional[float]]:
    """The highest of the numbers of each minute."""
    parts = (numbers[first : first + _MINUTE] for first in range(0, len(numbers), _MINUTE))
    return [max((number for number in part if number is not None), default=None) for part in parts]


def curve(numbers: Numbers) -> Optional[Sparkline]:
    """Numbers as a sparkline; None if there are none."""
    most = most_of(numbers)
    return Sparkline(area(numbers, most), "", len(numbers), most) if most else None


class PoolCurves(NamedTuple):
    """The last hour of a pool or slot, as a row of a table shows it: by minutes, and what it used last."""

    memory: Optional[Sparkline]
    memory_bytes: Optional[float]
    cpu: Optional[Sparkline]
    cpu_share: Optional[float]


def curves_of(steps: Mapping[int, Any], step_s: int, now_s: float) -> PoolCurves:
    """The curves of a pool's steps, or of a slot's."""
    memory, cpu = (numbers_of(steps, name, step_s, now_s) for name in ("memory_kb", "cpu_milli"))
    newest = steps[max(steps)] if steps else None
    if step_s < SLOT_STEP_S:
        memory, cpu = of_minutes(memory), of_minutes(cpu)
    return PoolCurves(
        curve(memory), None if newest is None else 1024.0 * newest.memory_kb,
        curve(cpu), None if newest is None else newest.cpu_milli / 1000,
    )  # fmt: skip


def charts_of_pool(usage: PoolUsage, deploys: Sequence[Deploy], now_s: float) -> List[Chart]:
    """The charts of one pool."""
    memory, cpu, busy, workers = (numbers_of(usage.steps, name, STEP_S, now_s) for name in UsageStep._fields)
    busy = [None if number is None else number / 1000 for number in busy]
    width, begins_s = len(memory), int(now_s) // STEP_S * STEP_S - KEPT_S
    marks = tuple(round((one.at_s - begins_s) / STEP_S, 1) for one in deploys if one.at_s >= begins_s)
    most, most_kb = max(most_of(workers), most_of(busy)), most_of(memory)
    return [
        Chart(
            "Memory", f"at most {size(1024 * most_kb)}", (Series("memory", "level", area(memory, most_kb)),),
            width, marks,
        ),
        Chart(
            "Processors", f"at most {most_of(cpu) / 1000:.2f} in use",
            (Series("processors", "level", area(cpu, most_of(cpu))),), width, marks,
        ),
        Chart(
            "Workers", f"at most {most_of(busy):.1f} busy of {most_of(workers):.0f}",
            (Series("busy", "level", area(busy, most)), Series("there", "q1", line(workers, most))), width, marks,
        ),
    ]  # fmt: skip


def use_of_minutes(usages: Iterable[PoolUsage], now_s: float, minutes: int) -> List[Optional[float]]:
    """Which share of all workers was busy in each of the last minutes, 0 to 1; None for those without any pool."""
    busy, workers = [0] * minutes, [0] * minutes
    last = int(now_s) // STEP_S
    places = {last - ago: minutes - 1 - ago // _MINUTE for ago in range(minutes * _MINUTE)}
    for usage in usages:
        for number, place in places.items():
            step = usage.steps.get(number)
            if step is not None:
                busy[place] += step.busy_milli
                workers[place] += step.workers
    return [some / (1000 * all_) if all_ else None for some, all_ in zip(busy, workers)]
