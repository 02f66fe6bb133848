"""The pools that are registered on queues, with their last reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from bizzmq.broker.operations import Operation, Together
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_text, pairs
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.protocol import ids
from bizzmq.protocol.keys import QueueKeys, logical_queue
from bizzmq.protocol.pool_report import PoolReport, RunningMessage, read_report

SILENT, UNKNOWN = "silent", "unknown"
_LATE_BEATS = 2
_GRACE_S = 1.0
_MANY = 100


@dataclass(frozen=True)
class PoolInfo:
    """A pool, or an in-process consumer, as its janitor has reported it last.

    Attributes:
        id: the id of its supervisor.
        host, pid: where it runs.
        kind: `pool` or `consumer`; "" if it has not reported.
        state: `working`, `paused`, `draining`; `silent` if heartbeats are missing; `unknown` if it has not reported,
            because it is older or may not write reports.
        queues: the queues that it serves, sorted; of the queues that were asked for.
        workers: the number of its workers.
        busy: how many of them run a message, of any queue.
        longest_s: how long the longest of these messages has run, seconds; 0 if none runs.
        version, python, target, code: as in PoolReport.
        beat_ago_s: how long ago its last heartbeat was, seconds by Redis's clock; None if that is not known.
        lease_s: after how long without a heartbeat its messages are requeued; None if that is not known.
        closed_s: for how long it claims nothing from the queue that was asked for; 0 if it does.
        running: the messages that it runs, of the queues that were asked for, the longest first.
        asked_on: the queue, or shard, on which it takes requests; "" if it takes none: it is a consumer, or older.
    """

    id: str
    host: str
    pid: int
    kind: str = ""
    state: str = UNKNOWN
    queues: tuple[str, ...] = ()
    workers: int = 0
    busy: int = 0
    longest_s: float = 0.0
    version: str = ""
    python: str = ""
    target: str = ""
    code: str = ""
    beat_ago_s: float | None = None
    lease_s: float | None = None
    closed_s: float = 0.0
    running: tuple[RunningMessage, ...] = ()
    asked_on: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "queues": list(self.queues), "running": [one._asdict() for one in self.running]}


class WorkerCounts(NamedTuple):
    """How many workers there are, and how many of them run a message."""

    workers: int
    busy: int


def workers_of(pools: Iterable[PoolInfo]) -> WorkerCounts:
    """The workers of all these pools but the silent ones."""
    living = [pool for pool in pools if pool.state != SILENT]
    return WorkerCounts(sum(pool.workers for pool in living), sum(min(pool.busy, pool.workers) for pool in living))


@dataclass(frozen=True)
class Serving:
    """Who serves a queue or shard at one moment.

    Attributes:
        pools: by supervisor id.
        workers: worker id -> supervisor id.
        now_ms: Redis's clock.
    """

    pools: Mapping[str, PoolInfo]
    workers: Mapping[str, str]
    now_ms: int


def read_pools(queues: Sequence[str]) -> Operation[list[PoolInfo]]:
    """The pools on these queues, sorted by host and pid. A queue that cannot be read is left out."""
    found: dict[str, PoolInfo] = {}
    for queue in queues:
        try:
            shards = yield from read_shards(QueueKeys(queue))
            for shard in shards:
                serving = yield from read_serving(shard)
                for pool in serving.pools.values():
                    _merge(found, pool)
        except QUEUE_TROUBLE:
            continue
    return sorted(found.values(), key=lambda pool: (pool.host, pool.pid, pool.id))


def read_serving(k: QueueKeys) -> Operation[Serving]:
    """Who serves a queue or shard."""
    replies = yield Together(serving_commands(k))
    return (yield from read_reports(k, replies))


def serving_commands(k: QueueKeys) -> list[tuple[str, ...]]:
    """The commands of `read_serving` whose replies `read_reports` needs."""
    return [("HGETALL", k.supervisors), ("HGETALL", k.workers), ("TIME",)]


def read_reports(k: QueueKeys, replies: Sequence[Any]) -> Operation[Serving]:
    """Who serves a queue or shard, from the replies to `serving_commands`: the pools' reports are read."""
    supervisors, workers, clock = replies
    owners = {as_text(worker): as_text(owner) for worker, owner in pairs(workers)}
    names = sorted({*(as_text(name) for name, _ in pairs(supervisors)), *owners.values()})
    now_ms = int(clock[0]) * 1000 + int(clock[1]) // 1000
    pools: dict[str, PoolInfo] = {}
    counts = Counter(owners.values())
    for first in range(0, len(names), _MANY):
        some = names[first : first + _MANY]
        stored = yield Together([("GET", k.pool(name)) for name in some])
        for name, data in zip(some, stored):
            pools[name] = _pool(name, k, read_report(data), now_ms, counts[name])
    return Serving(pools, owners, now_ms)


def _pool(
    name: str, k: QueueKeys, stamped: tuple[int, PoolReport] | None, now_ms: int, registered: int
) -> PoolInfo:  # fmt: skip
    host, pid = ids.host_and_pid(name)
    unknown = PoolInfo(name, host, pid, queues=(logical_queue(k.queue),), workers=registered)
    if stamped is None:
        return unknown
    beat_ms, report = stamped
    beat_ago_s = max(0.0, (now_ms - beat_ms) / 1000)
    is_silent = beat_ago_s > _LATE_BEATS * report.beat_s + _GRACE_S
    running = tuple(one._replace(for_s=round(one.for_s + beat_ago_s, 3)) for one in report.running)
    longest_s = round(report.longest_s + beat_ago_s, 3) if report.busy else 0.0
    return replace(
        unknown, kind=report.kind, state=SILENT if is_silent else report.state, workers=report.workers,
        busy=report.busy, longest_s=longest_s, version=report.version, python=report.python, target=report.target,
        code=report.code,
        beat_ago_s=round(beat_ago_s, 3), lease_s=report.lease_s,
        closed_s=max(0.0, report.closed_s - beat_ago_s), running=running, asked_on=report.asked_on,
    )  # fmt: skip


def _merge(found: dict[str, PoolInfo], pool: PoolInfo) -> None:
    """Add what a pool does on one more queue or shard. Each report names only the messages of its queue."""
    known = found.get(pool.id)
    if known is None:
        found[pool.id] = pool
        return
    newer, other = (pool, known) if (pool.beat_ago_s or 0.0) <= (known.beat_ago_s or 0.0) else (known, pool)
    running = {(one.worker, one.message_id): one for one in (*other.running, *newer.running)}
    longest_first = tuple(sorted(running.values(), key=lambda one: -one.for_s))
    found[pool.id] = replace(
        newer, queues=tuple(sorted({*known.queues, *pool.queues})), running=longest_first,
        workers=max(known.workers, pool.workers), closed_s=max(known.closed_s, pool.closed_s),
    )  # fmt: skip
