"""What the tasks of all queues have done in a time, for the pages of costs and deaths."""

from __future__ import annotations

from typing import AsyncIterator, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.broker.operations import Operation
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.metrics.series import Measures, QueueMetrics
from bizzmq.protocol.keys import QueueKeys
from bizzmq.web.charts.queue_charts import Range
from bizzmq.web.live.background import Background

_PART = 5
_KEPT_S, _BELIEVED_S = 30.0, 90.0
"""The age at which totals are read anew, and that up to which they are shown meanwhile."""


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
        is_complete: whether that is all.
    """

    tasks: Sequence[TaskTotal]
    keys: Sequence[KeyTotal]
    read: int
    is_complete: bool = True


class KeptTotals:
    """Totals of all queues, read in the background. They may be half a minute old."""

    def __init__(self, client: AsyncBizzMQ) -> None:
        self._client = client
        self._shown: Dict[str, _Reading] = {}
        self._next: Dict[str, _Reading] = {}

    async def read(self, queues: Sequence[str], shown: Range, enough: int, *, is_live: bool) -> Totals:
        """The totals of queues, of the first ones first. Raises BizzMQError.

        Args:
            enough: of how many queues a page needs them at least. The poller waits for none.
        """
        known = self._shown.get(shown.name)
        if known is None or known.work.has_failed or known.work.age_s > _KEPT_S:
            following = self._next.pop(shown.name, None) or _Reading(self._client, queues, shown)
            is_shown = known is not None and not known.work.has_failed and known.work.age_s < _BELIEVED_S
            if is_shown and following.work.is_running:
                self._next[shown.name] = following
            else:
                known = self._shown[shown.name] = following
        assert known is not None
        await known.work.until(lambda: is_live or known.read >= enough)
        return known.totals()


class _Reading:
    """Reads the totals of some queues."""

    def __init__(self, client: AsyncBizzMQ, queues: Sequence[str], shown: Range) -> None:
        self._client, self._queues, self._range = client, queues, shown
        self._tasks: List[TaskTotal] = []
        self._keys: List[KeyTotal] = []
        self.read = 0
        self.work = Background(self._parts())

    def totals(self) -> Totals:
        """What is known so far."""
        return Totals(self._tasks, self._keys, self.read, is_complete=not self.work.is_running)

    async def _parts(self) -> AsyncIterator[None]:
        while self.read < len(self._queues):
            part = self._queues[self.read : self.read + _PART]
            found = await self._client._perform_all(_operations(part, self._range))  # noqa: SLF001 - private to users, not to this package
            for one in found:
                if one is not None:
                    self._tasks += [TaskTotal(one.queue, task, one.total_of(task)) for task in one.tasks]
                    self._keys += [KeyTotal(one.queue, key, one.total_of_key(key)) for key in one.keys]
            self.read += len(part)
            yield


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
