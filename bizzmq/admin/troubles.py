"""What is wrong, in sentences: overviews show them above everything else."""

from __future__ import annotations

from collections import Counter
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from bizzmq.admin.activity.pools import SILENT, PoolInfo
from bizzmq.admin.queue_row import QueueRow
from bizzmq.protocol.pool_report import DRAINING, PAUSED
from bizzmq.utils.wording import counted, span

Reports = Dict[str, List[Tuple[str, PoolInfo]]]
"""Pool id -> each of its queues with its report there."""
LATE_S = 10.0
"""A message that has waited for longer is worth a sentence."""
_FAILING = 0.1
_MOST = 8
_NAMED = 3


class Trouble(NamedTuple):
    """Something that is wrong.

    Attributes:
        level: `error` if messages do not move, `warning` for the rest.
        sentence: what is wrong.
        queue: the queue that the sentence begins with; "" if it begins with none.
        rest: the sentence without the queue's name.
    """

    level: str
    queue: str
    rest: str

    @property
    def sentence(self) -> str:
        return f"{self.queue} {self.rest}".strip()


def reports_of(rows: Sequence[QueueRow]) -> Reports:
    """The reports of all pools on these queues."""
    found: Reports = {}
    for row in rows:
        for pool in row.pools:
            found.setdefault(pool.id, []).append((row.queue, pool))
    return found


def troubles(rows: Sequence[QueueRow], reports: Reports) -> List[Trouble]:
    """What is wrong, the worst first; at most 8 sentences, the last of which counts the others."""
    found = [one for row in rows for one in troubles_of(row, reports)]
    found += _of_pools(reports)
    found.sort(key=lambda one: one.level != "error")
    found += _of_dead_letters(rows)
    if len(found) > _MOST:
        others = len(found) - _MOST + 1
        found = [
            *found[: _MOST - 1],
            Trouble("warning", "", f"{counted(others, 'more thing is', 'more things are')} wrong."),
        ]
    return found


def troubles_of(row: QueueRow, reports: Reports) -> List[Trouble]:
    """What is wrong with one queue, without its dead letters."""
    return list(_of_row(row, reports))


def _of_row(row: QueueRow, reports: Reports) -> Iterator[Trouble]:
    if row.stats is None:
        yield Trouble("error", row.queue, f"cannot be used: {row.error}")
        return
    waiting, late_s = row.stats.waiting, row.oldest_s or 0.0
    pools = [pool for pool in row.pools if pool.state != SILENT]
    if waiting and not row.workers:
        yield Trouble(
            "error", row.queue, f"has {counted(waiting, 'message')} waiting for {span(late_s)}, and no worker."
        )
    elif waiting and pools and all(pool.state == PAUSED for pool in pools):
        yield Trouble("error", row.queue, f"has {counted(waiting, 'message')} waiting: all its pools are paused.")
    elif waiting and pools and all(pool.state == DRAINING for pool in pools):
        yield Trouble("error", row.queue, f"has {counted(waiting, 'message')} waiting: all its pools are draining.")
    elif waiting and late_s > LATE_S:
        yield Trouble("warning", row.queue, f"has waited {span(late_s)}: {_why_late(row, pools, reports)}")
    five = row.rates.get(300)
    if five is not None and five.failed >= 1 and five.failed > _FAILING * (five.outgoing or five.failed):
        share = min(1.0, five.failed / max(five.outgoing, five.failed))
        yield Trouble(
            "warning", row.queue, f"fails: {five.failed:,.0f} attempts a minute, {share:.0%} of what it runs."
        )


def _why_late(row: QueueRow, pools: Sequence[PoolInfo], reports: Reports) -> str:
    busy, workers = row.busy, counted(row.workers, "worker")
    if busy < row.workers:
        return f"{busy} of {workers} busy."
    with_what: Counter[str] = Counter()
    for pool in pools:
        for queue, report in reports.get(pool.id, ()):
            with_what[queue] += len(report.running)
    names = [name for name, number in with_what.most_common(_NAMED) if number]
    verb = "is" if row.workers == 1 else "are"
    return f"{busy} of {workers} {verb} busy{' with ' + ', '.join(names) if names else ''}."


def _of_pools(reports: Reports) -> Iterator[Trouble]:
    for of_pool in reports.values():
        pool = of_pool[0][1]
        if pool.state == SILENT and pool.lease_s is not None and pool.beat_ago_s is not None:
            left_s = max(0.0, pool.lease_s - pool.beat_ago_s)
            yield Trouble(
                "error", "", f"The pool {pool.pid} on {pool.host} has been silent for {span(pool.beat_ago_s)}; "
                f"what it runs is put back in {span(left_s)}."
            )  # fmt: skip


def _of_dead_letters(rows: Sequence[QueueRow]) -> Iterator[Trouble]:
    dead = sorted(((row.stats.dead_lettered, row.queue) for row in rows if row.stats), reverse=True)
    dead = [one for one in dead if one[0]]
    if len(dead) == 1:
        yield Trouble("warning", dead[0][1], f"has {counted(dead[0][0], 'dead letter')}.")
    elif dead:
        names = ", ".join(name for _, name in dead[:_NAMED]) + (", ..." if len(dead) > _NAMED else "")
        total = counted(sum(number for number, _ in dead), "dead letter")
        yield Trouble("warning", "", f"{len(dead)} queues have {total}: {names}.")
