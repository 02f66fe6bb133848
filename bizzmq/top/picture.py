"""What the terminal shows at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, NamedTuple, Sequence

from bizzmq.admin.activity.pauses import Pause
from bizzmq.admin.activity.pools import SILENT, PoolInfo
from bizzmq.admin.queue_row import QueueRow
from bizzmq.admin.troubles import Reports, Trouble, reports_of, troubles
from bizzmq.dead_letters.groups import DeadLetterGroup
from bizzmq.protocol.pool_report import RunningMessage


class Running(NamedTuple):
    """A message that runs, with its queue and its pool."""

    queue: str
    pool: PoolInfo
    message: RunningMessage


class Failing(NamedTuple):
    """A group of dead letters, with its queue."""

    queue: str
    group: DeadLetterGroup


@dataclass(frozen=True)
class Picture:
    """All queues, pools and running messages.

    Attributes:
        rows: the queues, sorted by name.
        reports: pool id -> each of its queues with its report there.
        troubles: what is wrong, the worst first.
        running: the running messages, the longest first.
        pauses: what is paused, by queue.
    """

    rows: Sequence[QueueRow] = ()
    reports: Reports = field(default_factory=dict)
    troubles: Sequence[Trouble] = ()
    running: Sequence[Running] = ()
    pauses: Mapping[str, Sequence[Pause]] = field(default_factory=dict)

    def is_paused(self, queue: str) -> bool:
        """Whether the whole queue is paused."""
        return any(one.is_of_queue for one in self.pauses.get(queue, ()))

    @property
    def pools(self) -> list[PoolInfo]:
        """One report of each pool, sorted by host and process id."""
        return sorted((of_pool[0][1] for of_pool in self.reports.values()), key=lambda pool: (pool.host, pool.pid))


def picture_of(rows: Sequence[QueueRow], pauses: Mapping[str, Sequence[Pause]]) -> Picture:
    """The picture of these queues."""
    reports = reports_of(rows)
    running = [
        Running(queue, pool, message)
        for of_pool in reports.values() for queue, pool in of_pool if pool.state != SILENT for message in pool.running
    ]  # fmt: skip
    running.sort(key=lambda one: -one.message.for_s)
    return Picture(rows, reports, troubles(rows, reports), running, pauses)
