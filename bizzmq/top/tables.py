"""The tables of `bizzmq top`: their columns, and a row for each thing with a key that finds it again."""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

from bizzmq.admin.activity.pools import PoolInfo, workers_of
from bizzmq.admin.queue_row import QueueRow
from bizzmq.top.picture import Failing, Picture, Running
from bizzmq.utils import clock, logs
from bizzmq.utils.wording import counted, span

Cells = Sequence[str]


class Row(NamedTuple):
    """A row: what identifies it from one refresh to the next, and its cells."""

    key: str
    cells: Cells


class Columns(NamedTuple):
    """The columns of a table: those of numbers are aligned to the right."""

    names: Sequence[str]
    numbers: Sequence[str] = ()


QUEUES = Columns(
    ("queue", "waiting", "oldest", "running", "dead", "workers", "in/min", "out/min", "fail/min", "delayed"),
    ("waiting", "oldest", "running", "dead", "workers", "in/min", "out/min", "fail/min", "delayed"),
)
RUNNING = Columns(("message", "queue", "for", "delivery", "host", "pool", "worker"), ("for", "delivery"))
POOLS = Columns(
    ("host", "pid", "state", "workers", "busy", "longest", "queues", "runs", "code", "beat"),
    ("pid", "workers", "busy", "longest", "beat"),
)
FAILURES = Columns(("queue", "count", "error", "where", "last", "text"), ("count", "last"))


def summary(picture: Picture) -> str:
    """The line of sums above the tables."""
    workers, busy = workers_of(picture.pools)
    usable = [row for row in picture.rows if row.stats is not None]
    waiting = sum(row.stats.waiting for row in usable if row.stats)
    rates = [row.rates.get(60) for row in usable]
    done = sum(rate.outgoing for rate in rates if rate)
    failed = sum(rate.failed for rate in rates if rate)
    return (
        f"{counted(len(picture.rows), 'queue')}  {waiting:,} waiting  {busy} of {counted(workers, 'worker')} busy  "
        f"{done:,.0f} done/min  {failed:,.0f} failed/min"
    )


def queue_rows(picture: Picture) -> list[Row]:
    """A row for each queue."""
    return [Row(row.queue, _queue_cells(row, picture.is_paused(row.queue))) for row in picture.rows]


def _queue_cells(row: QueueRow, is_paused: bool) -> Cells:
    if row.stats is None:
        return [f"{row.queue} (cannot be used)", *[""] * 9]
    counts, rate = row.stats, row.rates.get(60)
    rates = [""] * 3 if rate is None else [f"{one:,.0f}" for one in (rate.incoming, rate.outgoing, rate.failed)]
    oldest = "" if row.oldest_s is None else span(row.oldest_s)
    name = f"{row.queue} (paused)" if is_paused else row.queue
    return [
        name, f"{counts.waiting:,}", oldest, f"{counts.processing:,}", f"{counts.dead_lettered:,}",
        f"{row.workers:,}", *rates, f"{counts.delayed:,}",
    ]  # fmt: skip


def running_rows(running: Sequence[Running]) -> list[Row]:
    """A row for each running message, the longest first."""
    return [
        Row(one.message.message_id, [
            one.message.message_id, one.queue, span(one.message.for_s), f"{one.message.delivery}", one.pool.host,
            f"{one.pool.pid}", one.message.worker.rpartition("/")[2],
        ])
        for one in running
    ]  # fmt: skip


def pool_rows(picture: Picture) -> list[Row]:
    """A row for each pool and in-process consumer."""
    return [Row(pool.id, _pool_cells(pool, [queue for queue, _ in picture.reports[pool.id]])) for pool in picture.pools]


def _pool_cells(pool: PoolInfo, queues: Sequence[str]) -> Cells:
    beat = "?" if pool.beat_ago_s is None else span(pool.beat_ago_s)
    longest = span(pool.longest_s) if pool.busy else ""
    return [
        pool.host, f"{pool.pid or ''}", pool.state, f"{pool.workers}", f"{pool.busy}", longest, ",".join(queues),
        pool.target, pool.code[:12], beat,
    ]  # fmt: skip


def failure_rows(failing: Sequence[Failing]) -> list[Row]:
    """A row for each group of dead letters, the largest first."""
    now_s = clock.wall_ms() / 1000
    rows = []
    for queue, group in failing:
        last = "" if group.last_failed_at_s is None else span(max(0.0, now_s - group.last_failed_at_s))
        cells = [queue, f"{group.count:,}", group.error_type or "?", group.where, last, logs.escape(group.error)]
        rows.append(Row(f"{queue} {group.fingerprint}", cells))
    return rows


def about_queue(row: QueueRow, picture: Picture) -> str:
    """What is known of a queue, in lines."""
    if row.stats is None:
        return f"cannot be used: {row.error}"
    lines = [one.sentence for one in picture.troubles if one.queue == row.queue]
    for pause in picture.pauses.get(row.queue, ()):
        what = f"task {pause.task}" if pause.task else f"key {pause.key}" if pause.key else "the queue"
        lines.append(logs.escape(f"{what} is paused by {pause.by}" + (f": {pause.reason}" if pause.reason else "")))
    lines += ["", *(f"{name.replace('_', ' '):<16} {value}" for name, value in row.stats.as_dict().items())]
    for window_s, rate in row.rates.items():
        if rate is not None:
            lines.append(
                f"{f'last {window_s // 60} min':<16} {rate.incoming:,.1f} in, {rate.outgoing:,.1f} out, "
                f"{rate.failed:,.1f} failed a minute"
            )
    served = [f"{pool.host} {pool.pid}: {pool.state}, {pool.busy} of {pool.workers} busy" for pool in row.pools]
    return "\n".join([*lines, "", *(served or ["No pool serves this queue."])])


def about_pool(reports: Sequence[Tuple[str, PoolInfo]]) -> str:
    """What is known of a pool, and what it runs, in lines."""
    if not reports:
        return "It is gone."
    pool = reports[0][1]
    lines = [
        f"{name.replace('_', ' '):<16} {value}" for name, value in pool.as_dict().items()
        if name not in ("running", "queues") and value not in ("", None)
    ]  # fmt: skip
    for queue, one in reports:
        lines += [
            f"runs {message.message_id} of {queue} for {span(message.for_s)}, delivery {message.delivery}"
            for message in one.running
        ]
    return "\n".join(lines)
