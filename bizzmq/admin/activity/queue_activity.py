"""The activity of a queue: how long its oldest message has waited, who serves it, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

from bizzmq.admin.activity.pools import SILENT, Serving, read_serving
from bizzmq.admin.activity.rates import WINDOWS_S, Rate, rates_of
from bizzmq.broker.operations import Operation, Together, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_text, pairs
from bizzmq.errors import DecodeError, QueueNotFoundError
from bizzmq.metrics.history import RECENT
from bizzmq.protocol import ids
from bizzmq.protocol.keys import QueueKeys


@dataclass(frozen=True)
class QueueActivity:
    """What happens on a queue now.

    Attributes:
        oldest_waiting_s: how long ago the oldest of the messages that are next was published, seconds; None if none
            waits. The delay of a message and the time of its earlier deliveries are part of it.
        workers: how many registered workers serve the queue, without those of silent pools.
        hosts: their hosts, sorted.
        rates: by window in seconds (60, 300, 900), messages a minute; None for a window in which no pool has served
            the queue.
    """

    oldest_waiting_s: Optional[float]
    workers: int
    hosts: tuple[str, ...]
    rates: Mapping[int, Optional[Rate]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: rates by name, such as `incoming_per_minute_5min`."""
        found: dict[str, Any] = {
            "oldest_waiting_s": self.oldest_waiting_s, "workers": self.workers, "hosts": list(self.hosts),
        }  # fmt: skip
        for window_s, rate in self.rates.items():
            for name in Rate._fields:
                value = None if rate is None else getattr(rate, name)
                found[f"{name}_per_minute_{window_s // 60}min"] = value
        return found


def read_existing_activity(k: QueueKeys) -> Operation[QueueActivity]:
    """As `read_activity`. Raises QueueNotFoundError."""
    exists = yield command("EXISTS", k.meta)
    if not exists:
        raise QueueNotFoundError(k.queue)
    return (yield from read_activity(k))


def read_activity(k: QueueKeys) -> Operation[QueueActivity]:
    """The activity of a queue, over all its shards."""
    parts = []
    for shard in (yield from read_shards(k)):
        serving = yield from read_serving(shard)
        parts.append((yield from _read_shard(shard, serving)))
    ages = [part.oldest_waiting_s for part in parts if part.oldest_waiting_s is not None]
    rates: dict[int, Optional[Rate]] = {}
    for window_s in WINDOWS_S:
        known = [rate for rate in (part.rates[window_s] for part in parts) if rate is not None]
        rates[window_s] = Rate(*(round(sum(values), 3) for values in zip(*known))) if known else None
    return QueueActivity(
        max(ages, default=None), max(part.workers for part in parts),
        tuple(sorted({host for part in parts for host in part.hosts})), rates,
    )  # fmt: skip


def _read_shard(k: QueueKeys, serving: Serving) -> Operation[QueueActivity]:
    """A worker serves all shards of a queue, so the numbers of their workers do not add up."""
    head, first, last, recent, stats = yield Together([
        ("LRANGE", k.waiting, -1, -1), ("ZRANGE", k.prioritized, 0, 0), ("ZRANGE", k.prioritized, -1, -1),
        ("HGET", k.metrics, RECENT), ("HGETALL", k.stats),
    ])  # fmt: skip
    living = [owner for owner in serving.workers.values() if serving.pools[owner].state != SILENT]
    hosts = {serving.pools[owner].host for owner in living}
    ages = [age for age in (_age_s(one, serving.now_ms) for one in (*head, *first, *last)) if age is not None]
    rates = rates_of(recent, pairs(stats), serving.now_ms)
    return QueueActivity(max(ages, default=None), len(living), tuple(sorted(hosts)), rates)


def _age_s(message_id: bytes, now_ms: int) -> float | None:
    try:
        return round(max(0.0, now_ms / 1000 - ids.published_us(as_text(message_id)) / 1e6), 3)
    except DecodeError:
        return None
