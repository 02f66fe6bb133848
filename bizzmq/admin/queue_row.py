"""A queue in one row: counts, the age of what waits, the pools that serve it, and rates. Few requests a queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from bizzmq.admin.activity.pools import SILENT, PoolInfo, Serving, read_reports, serving_commands, workers_of
from bizzmq.admin.activity.rates import WINDOWS_S, Rate, ages_of, minutes_of, rates_between, samples_of
from bizzmq.admin.stats import TOTALS_AT, read_suspended, stats_commands, stats_result, sum_of
from bizzmq.broker.operations import Operation, Together, command
from bizzmq.broker.queues import meta_result
from bizzmq.broker.replies import as_text, pairs
from bizzmq.connection.retry import QUOTE_LIMIT
from bizzmq.errors import QUEUE_TROUBLE, DecodeError, QueueNotFoundError
from bizzmq.metrics.history import AGES, RECENT
from bizzmq.protocol import ids, keys
from bizzmq.protocol.keys import QueueKeys, shard_of
from bizzmq.queue import QueueStats


@dataclass(frozen=True)
class QueueRow:
    """What an overview shows of a queue, all shards together.

    Attributes:
        queue: the name.
        stats: its counts, those of its dead letters included; None if it cannot be used.
        error: why it cannot be used; "" if it can.
        oldest_s: how long ago the oldest of the messages that are next was published, seconds; None if none waits.
        oldest_id: the id of that message; "" if none waits.
        workers: how many registered workers serve it, without those of silent pools.
        pools: the pools that serve it, the silent ones included.
        rates: by window in seconds (60, 300, 900), messages a minute; None for a window without any pool.
        minutes: the rates of the last 15 minutes, oldest first, None for those without any pool; empty without any.
        ages: in the same way, the highest age of the oldest waiting message in each of them, seconds.
    """

    queue: str
    stats: Optional[QueueStats] = None
    error: str = ""
    oldest_s: Optional[float] = None
    oldest_id: str = ""
    workers: int = 0
    pools: tuple[PoolInfo, ...] = ()
    rates: Mapping[int, Optional[Rate]] = field(default_factory=dict)
    minutes: tuple[Optional[Rate], ...] = ()
    ages: tuple[Optional[float], ...] = ()

    @property
    def busy(self) -> int:
        """How many of its workers run a message, of any queue."""
        return min(self.workers, workers_of(self.pools).busy)


def read_names() -> Operation[list[str]]:
    """The names of all queues, sorted, without those of dead-letter queues."""
    members = yield command("SMEMBERS", keys.INDEX)
    return sorted(name for name in map(as_text, members) if keys.is_name(name))


def read_row(queue: str) -> Operation[QueueRow | None]:
    """The row of a queue; None if there is no such queue any more. Never a command that is O(messages)."""
    k = QueueKeys(queue)
    try:
        first, shards = yield from _read_part(k)
        parts = [first]
        for index in range(1, shards):
            part, _ = yield from _read_part(QueueKeys(shard_of(queue, index)))
            parts.append(part)
    except QueueNotFoundError:
        return None
    except QUEUE_TROUBLE as error:
        return QueueRow(queue, error=str(error)[:QUOTE_LIMIT])
    return first if shards == 1 else _joined(parts)


def _read_part(k: QueueKeys) -> Operation[tuple[QueueRow, int]]:
    """The row of one shard, and the number of shards of its queue."""
    counts, serving_of = stats_commands(k), serving_commands(k)
    replies = yield Together([
        ("HGETALL", k.meta), *counts, *serving_of,
        ("LRANGE", k.waiting, -1, -1), ("ZRANGE", k.prioritized, 0, 0), ("ZRANGE", k.prioritized, -1, -1),
        ("HMGET", k.metrics, RECENT, AGES),
    ])  # fmt: skip
    flat, rest = replies[0], replies[1:]
    aside = yield from read_suspended(k, rest)
    stats = stats_result(k, rest[: len(counts)], aside)
    options, _ = meta_result(flat, k.queue)
    serving: Serving = yield from read_reports(k, rest[len(counts) : len(counts) + len(serving_of)])
    head, first, last, (recent, ages) = rest[len(counts) + len(serving_of) :]
    living = [owner for owner in serving.workers.values() if serving.pools[owner].state != SILENT]
    age_s, oldest = _oldest([*head, *first, *last], serving.now_ms)
    samples = samples_of(recent, pairs(rest[TOTALS_AT]), serving.now_ms)
    row = QueueRow(
        k.queue, stats, "", age_s, oldest, len(living), tuple(serving.pools.values()), rates_between(samples),
        minutes_of(samples), ages_of(ages, serving.now_ms),
    )  # fmt: skip
    return row, options.shards


def _oldest(message_ids: Sequence[bytes], now_ms: int) -> tuple[Optional[float], str]:
    known: list[tuple[float, str]] = []
    for one in message_ids:
        try:
            age_s = now_ms / 1000 - ids.published_us(as_text(one)) / 1e6
        except DecodeError:
            continue
        known.append((round(max(0.0, age_s), 3), as_text(one)))
    return max(known, default=(None, ""))


def _joined(parts: Sequence[QueueRow]) -> QueueRow:
    """The row of a queue from those of its shards. A worker serves all shards, so their numbers do not add up."""
    known: list[Any] = [(part.oldest_s, part.oldest_id) for part in parts if part.oldest_s is not None]
    age_s, oldest = max(known, default=(None, ""))
    rates: dict[int, Optional[Rate]] = {}
    for window_s in WINDOWS_S:
        rates[window_s] = _added([part.rates[window_s] for part in parts])
    minutes = tuple(map(_added, zip(*(part.minutes for part in parts if part.minutes))))
    pools = {pool.id: pool for part in reversed(parts) for pool in part.pools}
    return QueueRow(
        parts[0].queue, sum_of([part.stats for part in parts if part.stats is not None]), "", age_s, oldest,
        max(part.workers for part in parts), tuple(pools.values()), rates, minutes,
        highest_of([part.ages for part in parts]),
    )  # fmt: skip


def highest_of(parts: Iterable[Sequence[Optional[float]]]) -> tuple[Optional[float], ...]:
    """The highest ages of several shards or queues in each minute; empty if none has any."""
    known = zip(*(part for part in parts if part))
    return tuple(max((age for age in some if age is not None), default=None) for some in known)


def _added(some: Iterable[Optional[Rate]]) -> Optional[Rate]:
    """The rates of all shards together; None if none has one."""
    found = [rate for rate in some if rate is not None]
    return Rate(*(round(sum(values), 3) for values in zip(*found))) if found else None
