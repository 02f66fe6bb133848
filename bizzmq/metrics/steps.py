"""Steps of a history: what a queue's tasks have done in one step, and the last sample of the queue in it."""

from __future__ import annotations

from typing import Collection, Dict, Mapping, NamedTuple, Optional, Tuple

from bizzmq.metrics.columns import MEMORY, is_key, most_of, other_of

TOTALS = (
    "published", "replayed", "acked", "discarded", "dead_lettered", "retried", "cancelled", "expired", "dropped",
)  # fmt: skip
"""The totals of a queue that are sampled, by their names in `stats`."""
Cells = Dict[int, int]
SAMPLE_FIELDS = ("at_ms", *TOTALS, "waiting", "delayed", "stored", "parked", "letters", "oldest_ms")


class Sample(NamedTuple):
    """A queue at one moment.

    Attributes:
        at_ms: when, by Redis's clock.
        published, ..., dropped: its totals since it was created.
        waiting, delayed, parked: the lengths of these lists.
        stored: all messages of it.
        letters: the messages of its dead-letter queue.
        oldest_ms: the age of the oldest of the messages that are next; 0 if none waits.
    """

    at_ms: int
    published: int
    replayed: int
    acked: int
    discarded: int
    dead_lettered: int
    retried: int
    cancelled: int
    expired: int
    dropped: int
    waiting: int
    delayed: int
    stored: int
    parked: int
    letters: int
    oldest_ms: int

    @property
    def totals(self) -> Tuple[int, ...]:
        """The totals, in the order of TOTALS."""
        return tuple(self[1 : 1 + len(TOTALS)])

    @property
    def processing(self) -> int:
        """The messages that workers held."""
        return max(0, self.stored - self.waiting - self.delayed - self.parked)


class Step:
    """What has happened in one step.

    Attributes:
        rows: by task and by key (see KEY_PREFIX), by the number of the column: counts, sums in microseconds, memory in
            kilobytes.
        total: the same of all tasks together.
        sample: the last one of the step; its age of the oldest message is the highest one of the step.
    """

    __slots__ = ("rows", "sample", "total")

    def __init__(self, sample: Optional[Sample] = None) -> None:
        self.rows: Dict[str, Cells] = {}
        self.total: Cells = {}
        self.sample = sample

    def add(self, other: Step) -> None:
        """Add what another pool, or a shorter step within this one, has measured."""
        add_rows(self.rows, other.rows)
        add_cells(self.total, other.total)
        self.sample = later_of(self.sample, other.sample)

    def without_rows(self) -> Step:
        """The total and the sample alone."""
        bare = Step(self.sample)
        bare.total = self.total
        return bare


def add_rows(rows: Dict[str, Cells], others: Mapping[str, Mapping[int, int]]) -> None:
    """Add rows to those of the same tasks and keys. Beyond MOST_TASKS and MOST_KEYS they are added to the others."""
    for name, cells in others.items():
        add_cells(rows.setdefault(name_among(rows, name), {}), cells)


def name_among(names: Collection[str], name: str) -> str:
    """The row to which a row of this name is added, given the rows that there are."""
    if name in names or sum(is_key(one) == is_key(name) for one in names) < most_of(name):
        return name
    return other_of(name)


def add_cells(cells: Cells, others: Mapping[int, int]) -> None:
    """Add the cells of a row to those of another one. Of two memory peaks, the higher one counts."""
    for column, value in others.items():
        before = cells.get(column, 0)
        cells[column] = max(before, value) if column == MEMORY else before + value


def later_of(one: Optional[Sample], other: Optional[Sample]) -> Optional[Sample]:
    """The later one of two samples, with the higher age of both."""
    if one is None or other is None:
        return one or other
    later = max(one, other)
    return later._replace(oldest_ms=max(one.oldest_ms, other.oldest_ms))
