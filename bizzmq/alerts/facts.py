"""What is wrong with a queue now, by the rules. A few requests a queue, and none that is O(messages)."""

from __future__ import annotations

import math
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.admin.activity.pauses import read_pauses_if_allowed
from bizzmq.admin.activity.pools import SILENT, PoolInfo
from bizzmq.admin.queue_row import QueueRow, read_row
from bizzmq.admin.troubles import reports_of, troubles_of
from bizzmq.alerts.rules import (
    DEAD_LETTERS,
    LATE_SCHEDULE,
    NO_WORKER,
    OLDEST_WAITING,
    SILENT_POOL,
    UNUSABLE_QUEUE,
    WINDOW_S,
    WORKER_DEATHS,
    Rules,
)
from bizzmq.broker.operations import Operation, Together
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_text, pairs
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.retry import QUOTE_LIMIT
from bizzmq.errors import QUEUE_TROUBLE, QueueNotFoundError
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.metrics.series import QueueMetrics
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils.wording import counted, span

_CRASHES = ("oom", "sigkill", "sigsegv", "sigabrt", "signal", "exit")
"""The deaths that nobody asked for: not for a limit of a message, nor by the supervisor."""
_STEP_S = 10
_NEXT = 100
_NAMED = 3


class Finding(NamedTuple):
    """Something that is wrong.

    Attributes:
        sentence: what, in a sentence that begins with the queue.
        value: the number that is compared with the limit.
        limit: the limit, seconds or a count.
    """

    sentence: str
    value: float
    limit: float


class Facts(NamedTuple):
    """A queue at one moment.

    Attributes:
        row: its counts, its oldest message, and its pools.
        notes: by kind of alert, as stored; empty if they cannot be read.
        late: the names of the schedules that are due, the longest first, each with the time in seconds.
        history: of the last minutes; None if there is none.
        is_paused: what is said of a pause of the whole queue; "" if it is not paused.
        trouble: why the queue cannot be used; "" if it can.
    """

    row: QueueRow
    notes: Mapping[str, bytes]
    late: Sequence[Tuple[str, float]]
    history: Optional[QueueMetrics]
    is_paused: str = ""
    trouble: str = ""


def read_facts(queue: str, rules: Rules) -> Operation[Optional[Facts]]:
    """What is known of a queue, as far as the rules need it; None if there is no such queue any more."""
    row = yield from read_row(queue)
    if row is None:
        return None
    k, oldest_s = QueueKeys(queue), rules.limit(OLDEST_WAITING, queue)
    if row.stats is None:
        return (yield from _unusable(k, row, row.error))
    try:
        flat, due, clock = yield Together(
            [("HGETALL", k.alerts), ("ZRANGE", k.due, 0, _NAMED, "WITHSCORES"), ("TIME",)]
        )
        has_history = row.rates.get(WINDOW_S) is not None
        history = (yield from read_metrics(k, checked_window(WINDOW_S, _STEP_S))) if has_history else None
    except QueueNotFoundError:
        return None
    except QUEUE_TROUBLE as error:
        return (yield from _unusable(k, row, str(error)[:QUOTE_LIMIT]))
    now_ms, paused = int(clock[0]) * 1000 + int(clock[1]) // 1000, ""
    if row.oldest_s is not None and oldest_s is not None and row.oldest_s >= oldest_s:
        pauses = yield from read_pauses_if_allowed(k)
        paused = next((one.sentence(now_ms / 1000) for one in pauses if not one.task and not one.key), "")
    return Facts(row, _notes(flat), _late(due, now_ms), history, paused)


class NextMessages(NamedTuple):
    """What waits at the head of a queue.

    Attributes:
        ids: at most 100 of each list, as text.
        is_all: whether nothing else waits.
    """

    ids: FrozenSet[str]
    is_all: bool


def read_next_messages(queue: str) -> Operation[NextMessages]:
    """The messages of a queue that are next, of all shards. Raises DecodeError."""
    ids: List[str] = []
    is_all = True
    shards = yield from read_shards(QueueKeys(queue))
    for k in shards:
        parts = yield Together([
            ("LRANGE", k.waiting, -_NEXT, -1), ("ZRANGE", k.prioritized, 0, _NEXT - 1),
            ("ZRANGE", k.prioritized, -_NEXT, -1),
        ])  # fmt: skip
        ids += [as_text(one) for part in parts for one in part]
        is_all = is_all and all(len(part) < _NEXT for part in parts)
    return NextMessages(frozenset(ids), is_all)


def _unusable(k: QueueKeys, row: QueueRow, trouble: str) -> Operation[Facts]:
    try:
        (flat,) = yield Together([("HGETALL", k.alerts)])
    except (*QUEUE_TROUBLE, CommandRefusedError):
        flat = ()
    return Facts(row, _notes(flat), (), None, trouble=trouble)


def _notes(flat: Any) -> Dict[str, bytes]:
    return {as_text(kind): note for kind, note in pairs(flat)}


def _late(flat: Sequence[bytes], now_ms: int) -> List[Tuple[str, float]]:
    scored = ((as_text(name), float(score)) for name, score in zip(flat[::2], flat[1::2]))
    return [(name, (now_ms - due_ms) / 1000) for name, due_ms in scored if due_ms < now_ms and math.isfinite(due_ms)]


def findings_of(facts: Facts, rules: Rules, elsewhere: Sequence[str] = ()) -> Dict[str, Finding]:
    """What is wrong with a queue, by the kind of alert.

    Args:
        elsewhere: the ids of pools about which another queue says it.
    """
    return dict(_findings(facts, rules, elsewhere))


def unknown_kinds(facts: Facts) -> Sequence[str]:
    """The kinds about which nothing is known, since the queue cannot be used."""
    known_without = (UNUSABLE_QUEUE,)
    return [kind for kind in facts.notes if kind not in known_without] if facts.trouble else ()


def _findings(facts: Facts, rules: Rules, elsewhere: Sequence[str]) -> Iterator[Tuple[str, Finding]]:
    row = facts.row
    queue = row.queue

    def over(kind: str, value: float) -> Optional[float]:
        limit = rules.limit(kind, queue)
        return None if limit is None or value < limit else limit

    if facts.trouble:
        limit = rules.limit(UNUSABLE_QUEUE, queue)
        if limit is not None:
            yield UNUSABLE_QUEUE, Finding(f"{queue} cannot be used: {facts.trouble}", 1, limit)
        return
    waiting = row.stats.waiting if row.stats is not None else 0
    oldest_s = row.oldest_s or 0.0
    limit = over(OLDEST_WAITING, oldest_s)
    if limit is not None and waiting and row.oldest_s is not None:
        yield OLDEST_WAITING, Finding(_why_late(facts, oldest_s), oldest_s, limit)
    limit = rules.limit(NO_WORKER, queue)
    if limit is not None and waiting and not row.workers:
        sentence = f"{queue} has {counted(waiting, 'message')} waiting, and no worker"
        yield NO_WORKER, Finding(sentence, waiting, limit)
    yield from _by_history(facts, rules)
    limit = rules.limit(LATE_SCHEDULE, queue)
    late = [one for one in facts.late if limit is not None and one[1] >= limit]
    if late and limit is not None:
        names = ", ".join(name for name, _ in late[:_NAMED])
        sentence = (
            f"{queue}: {'a schedule has' if len(late) == 1 else 'schedules have'} not fired for {span(late[0][1])}"
        )
        yield LATE_SCHEDULE, Finding(f"{sentence}: {names}", late[0][1], limit)
    limit = rules.limit(SILENT_POOL, queue)
    silent = [pool for pool in silent_pools(row) if pool.id not in elsewhere and _silent_s(pool) >= (limit or 0.0)]
    if silent and limit is not None:
        longest = max(silent, key=_silent_s)
        sentence = f"{queue}: the pool {longest.pid} on {longest.host} has been silent for {span(_silent_s(longest))}"
        others = f", and {counted(len(silent) - 1, 'other pool')}" if len(silent) > 1 else ""
        yield SILENT_POOL, Finding(sentence + others, _silent_s(longest), limit)


def _why_late(facts: Facts, oldest_s: float) -> str:
    row = facts.row
    if facts.is_paused:
        return f"{row.queue} has waited {span(oldest_s)}: {facts.is_paused}"
    found = troubles_of(row, reports_of([row]))
    return found[0].sentence.rstrip(".") if found else f"{row.queue} has waited {span(oldest_s)}"


def _by_history(facts: Facts, rules: Rules) -> Iterator[Tuple[str, Finding]]:
    if facts.history is None:
        return
    queue, within = facts.row.queue, f"in {span(WINDOW_S)}"
    counted_by_redis = sum(step.totals.get("dead_lettered", 0) for step in facts.history.steps)
    letters = max(
        counted_by_redis, facts.history.total.outcomes.get("dead_lettered", 0)
    )  # the first step has no totals
    limit = rules.limit(DEAD_LETTERS, queue)
    if limit is not None and letters >= limit:
        yield DEAD_LETTERS, Finding(f"{queue} has {counted(letters, 'new dead letter')} {within}", letters, limit)
    deaths = {cause: count for cause, count in facts.history.total.deaths.items() if cause in _CRASHES and count}
    count, limit = sum(deaths.values()), rules.limit(WORKER_DEATHS, queue)
    if limit is not None and count >= limit:
        causes = ", ".join(
            f"{number} {cause}" for cause, number in sorted(deaths.items(), key=lambda one: (-one[1], one[0]))
        )
        sentence = f"{queue}: {counted(count, 'worker has', 'workers have')} died {within}: {causes}"
        yield WORKER_DEATHS, Finding(sentence, count, limit)


def silent_pools(row: QueueRow) -> List[PoolInfo]:
    """The pools of a queue whose heartbeats are missing."""
    return [pool for pool in row.pools if pool.state == SILENT]


def _silent_s(pool: PoolInfo) -> float:
    return pool.beat_ago_s or 0.0
