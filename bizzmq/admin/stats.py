"""Counts of queues, and their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from bizzmq.admin.activity.pools import PoolInfo, read_pools
from bizzmq.admin.activity.queue_activity import QueueActivity, read_activity
from bizzmq.admin.queue_problems import find_problems
from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation, Together, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_text, pairs
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.retry import QUOTE_LIMIT
from bizzmq.errors import QUEUE_TROUBLE, QueueNotFoundError
from bizzmq.protocol import keys, totals
from bizzmq.protocol.keys import QueueKeys
from bizzmq.queue import QueueStats

_ENDED = ("acked", "discarded", "purged", "cancelled", "expired", "dropped", "written_off")
TOTALS_AT = 7
"""The place of the totals among the replies to `stats_commands`."""
_TOTALS = ("published", "retried", "requeued", "missing", "duplicates", *_ENDED)


def stats(broker: Broker, queue: str) -> QueueStats:
    """Current counts and totals of a queue, read in one step for each shard. Raises QueueNotFoundError."""
    return broker.perform(read_stats(broker.keys(queue)))


def read_stats(k: QueueKeys) -> Operation[QueueStats]:
    """The operation of `stats`."""
    parts = []
    for shard in (yield from read_shards(k)):
        replies = yield Together(stats_commands(shard))
        aside = yield from read_suspended(shard, replies)
        parts.append(stats_result(shard, replies, aside))
    return sum_of(parts)


def read_suspended(k: QueueKeys, replies: Sequence[Any]) -> Operation[int]:
    """How many messages are put aside for a pause. Users of Redis from before pauses may not ask: for them none is."""
    if not totals.read(pairs(replies[TOTALS_AT])).counted.get("suspended"):
        return 0
    try:
        return int((yield command("ZCARD", k.suspended)))
    except CommandRefusedError:
        return 0


def sum_of(parts: Sequence[QueueStats]) -> QueueStats:
    """The stats of a queue from those of its shards."""
    return QueueStats(**{name: sum(getattr(part, name) for part in parts) for name in parts[0].as_dict()})


def stats_commands(k: QueueKeys) -> list[tuple[str, str]]:
    """The commands that read the stats of one shard."""
    stored_dead = ("LLEN", k.parked) if k.is_dead_letter_queue else ("HLEN", k.dead_letters().messages)
    return [
        ("EXISTS", k.meta), ("LLEN", k.waiting), ("ZCARD", k.prioritized), ("ZCARD", k.delayed),
        ("HLEN", k.messages), ("LLEN", k.parked), stored_dead, ("HGETALL", k.stats),
        *([("HGETALL", QueueKeys(k.owner).stats)] if k.is_dead_letter_queue else []),
    ]  # fmt: skip


def stats_result(k: QueueKeys, replies: Sequence[Any], aside: int = 0) -> QueueStats:
    """The stats of one shard from the replies to `stats_commands`. Raises QueueNotFoundError.

    Args:
        aside: how many messages are put aside for a pause.
    """
    is_dead = k.is_dead_letter_queue
    exists, waiting, prioritized, delayed, stored, parked, dead_lettered, flat = replies[:8]
    if not exists:
        raise QueueNotFoundError(k.queue)
    own = totals.read(pairs(flat))
    owner = totals.read(pairs(replies[8])).counted if is_dead else own.counted
    counted = {name: own.counted.get(name, 0) for name in _TOTALS}
    moved = {"dead_lettered_total": owner.get("dead_lettered", 0), "replayed": owner.get("replayed", 0)}
    # every stored message that is in no other place is in a processing list
    rest = max(0, stored - waiting - prioritized - delayed - parked)
    suspended = min(aside, rest)
    processing = rest - suspended
    came, went = ("dead_lettered_total", "replayed") if is_dead else ("replayed", "dead_lettered_total")
    ended = sum(counted[name] for name in _ENDED) + moved[went]
    held = waiting + prioritized + delayed + suspended + processing + parked
    return QueueStats(
        waiting=waiting + prioritized,
        delayed=delayed,
        suspended=suspended,
        processing=processing,
        dead_lettered=dead_lettered,
        unaccounted=counted["published"] + moved[came] - ended - held,
        unreadable=len(own.unreadable),
        **counted,
        **moved,
    )


@dataclass(frozen=True)
class QueueSummary:
    """A queue and its counts.

    Attributes:
        queue: the name.
        stats: None if the queue cannot be used.
        activity: None if the queue cannot be used, or if this user of Redis may only count.
        error: why the queue cannot be used; "" if it can.
    """

    queue: str
    stats: QueueStats | None
    error: str = ""
    activity: QueueActivity | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {"error": self.error} if self.stats is None else self.stats.as_dict()
        return {"queue": self.queue, **counts, **(self.activity.as_dict() if self.activity else {})}


def overview(broker: Broker) -> list[QueueSummary]:
    """All queues and dead-letter queues with their counts, sorted by name."""
    return broker.perform(read_overview())


def read_overview() -> Operation[list[QueueSummary]]:
    """The operation of `overview`."""
    rows = []
    for name in (yield from read_queue_names()):
        k = QueueKeys(name)
        try:
            problems = yield from find_problems(k)
            if problems:
                rows.append(QueueSummary(name, None, "; ".join(problems)[:QUOTE_LIMIT]))
            else:
                counts = yield from read_stats(k)
                rows.append(QueueSummary(name, counts, activity=(yield from read_permitted_activity(k))))
        except QUEUE_TROUBLE as error:
            rows.append(QueueSummary(name, None, str(error)[:QUOTE_LIMIT]))
    return rows


def read_permitted_activity(k: QueueKeys) -> Operation[QueueActivity | None]:
    """The activity of a queue; None if this user of Redis may only count, as users of earlier versions."""
    try:
        return (yield from read_activity(k))
    except CommandRefusedError:
        return None


def read_all_pools(k: QueueKeys | None) -> Operation[list[PoolInfo]]:
    """The pools that serve a queue; of all queues and dead-letter queues for None."""
    names = [k.queue] if k is not None else (yield from read_queue_names())
    return (yield from read_pools(names))


def queue_names(broker: Broker) -> list[str]:
    """Names of all queues and dead-letter queues, sorted. Includes queues without options; omits invalid names."""
    return broker.perform(read_queue_names())


def read_queue_names() -> Operation[list[str]]:
    """The operation of `queue_names`."""
    members = yield command("SMEMBERS", keys.INDEX)
    created = {name for name in map(as_text, members) if keys.is_name(name)}
    # The first dead letter creates its queue, even when Redis is full. So no index names dead-letter queues.
    dead = {QueueKeys(name).dead_letters().queue for name in created}
    found = []
    for name in sorted(created | dead):
        k = QueueKeys(name)
        exists = yield command("EXISTS", k.meta)
        if exists or (yield from find_problems(k)):
            found.append(name)
    return found
