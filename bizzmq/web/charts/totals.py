"""What the tasks of all queues have done in a time, for the pages of costs and deaths."""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.broker.operations import Operation
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.metrics.series import Measures, QueueMetrics
from bizzmq.protocol.keys import QueueKeys
from bizzmq.web.charts.queue_charts import Range

_BUDGET_S = 1.5
"""For how long histories are read for one page. The page says how many it has read."""
_PART = 20
_KEPT_S = 30.0


class TaskTotal(NamedTuple):
    """What a task of a queue has done; the task "" are plain messages."""

    queue: str
    task: str
    total: Measures


class KeyTotal(NamedTuple):
    """What the messages of a queue with one key have done."""

    queue: str
    key: str
    total: Measures


class Totals(NamedTuple):
    """What the tasks of some queues have done.

    Attributes:
        tasks, keys: those that have done something.
        read: of how many queues.
    """

    tasks: Sequence[TaskTotal]
    keys: Sequence[KeyTotal]
    read: int


class KeptTotals:
    """Totals of all queues; they may be half a minute old."""

    def __init__(self, client: AsyncBizzMQ) -> None:
        self._client = client
        self._kept: Dict[str, Tuple[float, Totals]] = {}

    async def read(self, queues: Sequence[str], shown: Range) -> Totals:
        """The totals of queues, the first ones first if there are too many for one page. Raises BizzMQError."""
        read_s, found = self._kept.get(shown.name, (-1e9, None))
        if found is None or time.monotonic() - read_s > _KEPT_S:
            found = await _read(self._client, queues, shown)
            self._kept[shown.name] = time.monotonic(), found
        return found


async def _read(client: AsyncBizzMQ, queues: Sequence[str], shown: Range) -> Totals:
    ends_s, read = time.monotonic() + _BUDGET_S, 0
    tasks: List[TaskTotal] = []
    keys: List[KeyTotal] = []
    while read < len(queues) and time.monotonic() < ends_s:
        part = queues[read : read + _PART]
        found = await client._perform_all(_operations(part, shown))  # noqa: SLF001 - private to users, not to this package
        for one in found:
            if one is not None:
                tasks += [TaskTotal(one.queue, task, one.total_of(task)) for task in one.tasks]
                keys += [KeyTotal(one.queue, key, one.total_of_key(key)) for key in one.keys]
        read += len(part)
    return Totals(tasks, keys, read)


def _operations(queues: Sequence[str], shown: Range) -> Callable[[], List[Operation[Optional[QueueMetrics]]]]:
    return lambda: [_permitted(name, shown) for name in queues]


def _permitted(queue: str, shown: Range) -> Operation[Optional[QueueMetrics]]:
    """The history of a queue; None if it cannot be read."""
    try:
        return (yield from read_metrics(QueueKeys(queue), checked_window(shown.last_s, shown.step_s)))
    except (*QUEUE_TROUBLE, CommandRefusedError):
        return None


def deaths_of(tasks: Sequence[TaskTotal]) -> List[Tuple[TaskTotal, str, int]]:
    """The deaths of workers by task and cause, the most frequent first."""
    found = [(one, cause, number) for one in tasks for cause, number in one.total.deaths.items()]
    return sorted(found, key=lambda death: (-death[2], death[0].queue, death[0].task, death[1]))


CAUSES_IN_WORDS: Mapping[str, str] = {
    "oom": "killed by the kernel: out of memory", "sigkill": "SIGKILL", "sigsegv": "SIGSEGV", "sigabrt": "SIGABRT",
    "signal": "another signal", "exit": "it has ended its own process", "timeout": "killed at its time limit",
    "cpu_limit": "killed at its limit of processor time", "memory_limit": "killed at its memory limit",
    "cancelled": "killed after a cancel", "ended": "ended by its supervisor",
}  # fmt: skip
