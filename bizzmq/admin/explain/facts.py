"""The facts about a message at one moment: what is stored of it, and what happens on its queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from bizzmq.admin.activity.pools import SILENT, PoolInfo, Serving, read_serving
from bizzmq.admin.explain.beside import NOTHING, Beside, read_beside
from bizzmq.admin.explain.position import messages_before
from bizzmq.admin.find import find_message
from bizzmq.admin.message_status import read_ending_of
from bizzmq.admin.stored_message import DEAD_LETTERED, PROCESSING, WAITING, StoredMessage
from bizzmq.broker.operations import Operation, Together, command, read_time_s
from bizzmq.broker.queues import meta_result
from bizzmq.broker.replies import as_bytes, as_text, pairs
from bizzmq.errors import QUEUE_TROUBLE, QueueNotFoundError
from bizzmq.protocol import ids, keys
from bizzmq.protocol.keys import QueueKeys, logical_queue
from bizzmq.protocol.results import Ending
from bizzmq.queue import QueueOptions

_MOST_HELD = 200
_MANY = 100


@dataclass(frozen=True)
class Facts:
    """What is known about a message.

    Attributes:
        id: as asked for.
        queue: the queue that has it, or that was asked about; "" if no queue is known.
        now_s: Redis's clock.
        has_queue: whether the queue that was asked about exists; True if all were searched.
        created_at_s: when the queue was created; None if that is not known.
        message: what is stored; None if nothing is.
        ending: what has become of it, if its result is kept.
        options: those of its queue; None if they are unreadable.
        serving: who serves the queue, or the dead-letter queue, that has it.
        before: how many messages are claimed before a waiting one; None if that is not known.
        held_before: how many messages its worker holds that are older.
        holding: worker id -> the number of messages of its queue that the worker holds.
        beside: pauses, a request to cancel it, its expiry, its schedule.
    """

    id: str
    queue: str
    now_s: float
    has_queue: bool = True
    created_at_s: Optional[float] = None
    message: Optional[StoredMessage] = None
    ending: Optional[Ending] = None
    options: Optional[QueueOptions] = None
    serving: Serving = field(default_factory=lambda: Serving({}, {}, 0))
    before: Optional[int] = None
    held_before: int = 0
    holding: Mapping[str, int] = field(default_factory=dict)
    beside: Beside = NOTHING

    @property
    def published_ago_s(self) -> float | None:
        """How long ago it was published, by its id; negative for a forged one."""
        return None if self.published_at_s is None else self.now_s - self.published_at_s

    @property
    def published_at_s(self) -> float | None:
        return ids.published_us(self.id) / 1e6 if ids.is_message_id(as_bytes(self.id)) else None

    @property
    def pools(self) -> list[PoolInfo]:
        """The pools that serve the queue, without silent ones."""
        return [pool for pool in self.serving.pools.values() if pool.state != SILENT]

    @property
    def silent_pools(self) -> list[PoolInfo]:
        return [pool for pool in self.serving.pools.values() if pool.state == SILENT]

    @property
    def workers(self) -> list[str]:
        """The registered workers of the queue, without those of silent pools."""
        living = {pool.id for pool in self.pools}
        return [worker for worker, owner in self.serving.workers.items() if owner in living]

    @property
    def busy(self) -> int:
        """How many of these workers are busy, also with messages of other queues."""
        reported = sum(min(pool.busy, pool.workers) for pool in self.pools)
        return min(len(self.workers), max(reported, sum(self.holding.get(one, 0) > 0 for one in self.workers)))

    @property
    def longest_s(self) -> float:
        """How long the longest of their messages has run; 0 if that is not known."""
        return max((pool.longest_s for pool in self.pools), default=0.0)

    @property
    def holder(self) -> PoolInfo | None:
        """The pool of the worker that holds the message."""
        worker = self.message.worker if self.message else ""
        return self.serving.pools.get(self.serving.workers.get(worker, ""))

    @property
    def running_for_s(self) -> float | None:
        """How long the message has run, as its pool has reported; None if it has not."""
        running = self.holder.running if self.holder else ()
        return next((one.for_s for one in running if one.message_id == self.id), None)

    @property
    def lease_left_s(self) -> float | None:
        """How long the lease of a silent holder still runs; None for others."""
        pool = self.holder
        if pool is None or pool.state != SILENT or pool.lease_s is None or pool.beat_ago_s is None:
            return None
        return max(0.0, pool.lease_s - pool.beat_ago_s)

    @property
    def due_in_s(self) -> float | None:
        """When a delayed message is due; negative if it is overdue."""
        due_at_s = self.message.due_at_s if self.message else None
        return None if due_at_s is None else due_at_s - self.now_s

    @property
    def expired_for_s(self) -> float | None:
        """How long ago it should have been started at the latest; None if it may still be started."""
        expires_at_s = self.beside.expires_at_s
        return None if expires_at_s is None or expires_at_s > self.now_s else self.now_s - expires_at_s

    @property
    def max_retries(self) -> int | None:
        """How often it may be retried; None if only the code of its task says that."""
        message = self.message.message if self.message else None
        if message is None or message.retries is not None:
            return None if message is None else message.retries
        return self.options.max_retries if self.options and message.properties is None else None

    def as_dict(self) -> dict[str, Any]:
        """What is known, for JSON."""
        stored, pool = self.message, self.holder
        found: dict[str, Any] = {"published_ago_s": self.published_ago_s}
        if stored is not None:
            found.update({
                "place": stored.place, "delivery": stored.delivery, "retry_count": stored.retry_count,
                "max_retries": self.max_retries, "crash_count": stored.crash_count, "last_error": stored.last_error,
                "before": self.before, "due_in_s": self.due_in_s, "worker": stored.worker,
                "host": pool.host if pool else "", "running_for_s": self.running_for_s,
                "lease_left_s": self.lease_left_s, "workers": len(self.workers), "busy": self.busy,
                "longest_s": self.longest_s, "hosts": sorted({one.host for one in self.pools}),
                "error": {name: stored.error[name] for name in _ABOUT_ERROR if name in stored.error},
                "pauses": [one.as_dict() for one in self.beside.pauses], "expired_for_s": self.expired_for_s,
                "cancel": {name: self.beside.cancel[name] for name in _ABOUT_CANCEL if name in self.beside.cancel},
                "schedule": self.beside.schedule,
            })  # fmt: skip
        if self.ending is not None:
            error = self.ending.error or {}
            found.update({
                "finished_ago_s": _ago(self.now_s, self.ending.finished_ms), "delivery": self.ending.delivery,
                "error": {name: error[name] for name in _ABOUT_ERROR if name in error},
            })  # fmt: skip
        return {name: round(one, 3) if isinstance(one, float) else one for name, one in found.items()}


_ABOUT_CANCEL = ("by", "reason", "cancelled_at", "host")
_ABOUT_ERROR = ("error_type", "error", "failed_at", "host", "worker", "delivery", "signal")


def _ago(now_s: float, milliseconds: int | None) -> float | None:
    return None if milliseconds is None else max(0.0, now_s - milliseconds / 1000)


def read_facts(k: QueueKeys | None, message_id: bytes) -> Operation[Facts]:
    """The facts about a message of a queue, or of any queue.

    Raises:
        WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
    """
    now_s = yield from read_time_s()
    text = as_text(message_id)
    own = None if k is None else QueueKeys(k.owner)
    try:
        found = yield from find_message(own, message_id)
    except QueueNotFoundError:
        return Facts(text, k.queue if k else "", now_s, has_queue=False)
    if found is not None:
        return (yield from _of_stored(found))
    names = [own.queue] if own is not None else (yield from _names())
    for name in names:
        ending = yield from read_ending_of(QueueKeys(name), message_id)
        if ending is not None:
            return Facts(text, name, now_s, ending=ending)
    if own is None:
        return Facts(text, "", now_s)
    options, created_at_s = yield from _meta(own)
    return Facts(text, own.queue, now_s, options=options, created_at_s=created_at_s)


def _names() -> Operation[list[str]]:
    members = yield command("SMEMBERS", keys.INDEX)
    return sorted({keys.owner_of(name) for name in map(as_text, members) if keys.is_name(name)})


def _meta(own: QueueKeys) -> Operation[tuple[Optional[QueueOptions], Optional[float]]]:
    flat = yield command("HGETALL", own.meta)
    created_ms = dict(pairs(flat)).get(b"created_ms", b"")
    created_at_s = int(created_ms) / 1000 if created_ms.isdigit() and len(created_ms) < 15 else None
    try:
        return meta_result(flat, own.queue)[0], created_at_s
    except QUEUE_TROUBLE:
        return None, created_at_s


def _of_stored(found: StoredMessage) -> Operation[Facts]:
    k = QueueKeys(found.queue)
    serving = yield from read_serving(k)
    options, created_at_s = yield from _meta(QueueKeys(logical_queue(k.owner)))
    raw_id = as_bytes(found.id)
    before, held_before = None, 0
    if found.state == WAITING and found.place:
        before = yield from messages_before(k, raw_id, found.place)
    if found.state == PROCESSING:
        held: Any = yield command("LRANGE", as_bytes(k.processing(found.worker)), -_MOST_HELD, -1)
        oldest_first = list(reversed(held))
        held_before = oldest_first.index(raw_id) if raw_id in oldest_first else 0
    holding = {} if found.state == DEAD_LETTERED else (yield from _holding(k, list(serving.workers)))
    return Facts(
        found.id, logical_queue(k.owner), serving.now_ms / 1000, True, created_at_s, found, None, options, serving,
        before, held_before, holding, (yield from read_beside(found)),
    )  # fmt: skip


def _holding(k: QueueKeys, workers: list[str]) -> Operation[dict[str, int]]:
    counts: dict[str, int] = {}
    for first in range(0, len(workers), _MANY):
        some = workers[first : first + _MANY]
        sizes = yield Together([("LLEN", as_bytes(k.processing(worker))) for worker in some])
        counts.update(zip(some, sizes))
    return counts
