"""What queues hold, for people and programs that look from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq import keys, totals
from bizzmq.broker import Broker
from bizzmq.errors import QUEUE_TROUBLE, DecodeError, QueueNotFoundError
from bizzmq.message import Message, decode_envelope
from bizzmq.outage import TEXT_LIMIT
from bizzmq.queue import QueueStats
from bizzmq.registry import as_text
from bizzmq.soundness import faults
from bizzmq.store import pairs

_TOTALS = ("published", "acked", "retried", "requeued", "discarded", "purged", "missing", "written_off")


def stats(broker: Broker, queue: str) -> QueueStats:
    """Counts of what is there, and totals, taken in one step for each shard. Raises QueueNotFoundError."""
    parts = [_stats(broker, shard) for shard in broker.shards(queue)]
    return QueueStats(**{name: sum(getattr(part, name) for part in parts) for name in parts[0].as_dict()})


def _stats(broker: Broker, queue: str) -> QueueStats:
    k = broker.keys(queue)
    is_dead = k.is_dead_letter_queue
    stored_dead = ("LLEN", k.parked) if is_dead else ("HLEN", k.dead_letters().messages)
    replies = broker.look(
        ("EXISTS", k.meta), ("LLEN", k.waiting), ("ZCARD", k.prioritized), ("ZCARD", k.delayed),
        ("HLEN", k.messages), ("LLEN", k.parked), stored_dead, ("HGETALL", k.stats),
        *([("HGETALL", broker.keys(k.owner).stats)] if is_dead else []),
    )  # fmt: skip
    exists, waiting, prioritized, delayed, stored, parked, dead_lettered, flat = replies[:8]
    if not exists:
        raise QueueNotFoundError(queue)
    own = totals.read(pairs(flat))
    across = totals.read(pairs(replies[8])).counted if is_dead else own.counted
    counted = {name: own.counted.get(name, 0) for name in _TOTALS}
    moved = {"dead_lettered_total": across.get("dead_lettered", 0), "replayed": across.get("replayed", 0)}
    # whatever is stored and in no other place is in a processing list
    processing = max(0, stored - waiting - prioritized - delayed - parked)
    came, went = ("dead_lettered_total", "replayed") if is_dead else ("replayed", "dead_lettered_total")
    ended = sum(counted[name] for name in ("acked", "discarded", "purged", "written_off")) + moved[went]
    held = waiting + prioritized + delayed + processing + parked
    return QueueStats(
        waiting=waiting + prioritized,
        delayed=delayed,
        processing=processing,
        dead_lettered=dead_lettered,
        unaccounted=counted["published"] + moved[came] - ended - held,
        unreadable=len(own.spoilt),
        **counted,
        **moved,
    )


def overview(broker: Broker) -> list[dict[str, Any]]:
    """All queues with their stats as a row each; a queue that cannot be asked has an `error` instead, in words."""
    rows: list[dict[str, Any]] = []
    for name in queue_names(broker):
        try:
            found = faults(broker, name)
            about = {"error": "; ".join(found)[:TEXT_LIMIT]} if found else stats(broker, name).as_dict()
            rows.append({"queue": name, **about})
        except QUEUE_TROUBLE as error:
            rows.append({"queue": name, "error": str(error)[:TEXT_LIMIT]})
    return rows


def queue_names(broker: Broker) -> list[str]:
    """The names of all queues and of their dead-letter queues, sorted, with those that have lost their options.

    What is no name is left out.
    """
    members = [as_text(name) for name in broker.connection.execute("SMEMBERS", keys.INDEX)]
    created = {name for name in members if keys.is_name(name)}
    # A dead-letter queue may come into being with its first dead letter, when Redis is full, too: no index then.
    dead = {broker.keys(name).dead_letters().queue for name in created}
    return sorted(name for name in created | dead if broker.exists(name) or faults(broker, name))


@dataclass(frozen=True)
class DeadLetter:
    """A message of a dead-letter queue. `place` says where in it: waiting, delayed, prioritized or parked.

    Attributes:
        queue: the dead-letter queue, or the shard of it; "" for the one that was asked for.
    """

    id: str
    place: str
    message: Message | None
    envelope: bytes
    queue: str = ""

    @property
    def error(self) -> Mapping[str, Any]:
        """Why it is there; empty if it was published there directly or cannot be read."""
        return (self.message.error if self.message else None) or {}


def dead_letters(broker: Broker, queue: str, offset: int, count: int) -> list[DeadLetter]:
    """Dead letters of a queue (itself or its dead-letter queue is named), oldest first in each place of each shard."""
    found: list[DeadLetter] = []
    skip = offset
    for k in _graves(broker, queue):
        for place, key in (("waiting", k.waiting), ("parked", k.parked)):
            size = int(broker.connection.execute("LLEN", key))
            if skip < size and len(found) < count:
                last = size - 1 - skip
                first = max(0, last - (count - len(found)) + 1)
                ids = list(reversed(broker.connection.execute("LRANGE", key, first, last)))
                found += _read(broker, k, place, ids)
            skip = max(0, skip - size)
        for place, key in (("prioritized", k.prioritized), ("delayed", k.delayed)):
            size = int(broker.connection.execute("ZCARD", key))
            if skip < size and len(found) < count:
                ids = broker.connection.execute("ZRANGE", key, skip, skip + count - len(found) - 1)
                found += _read(broker, k, place, ids)
            skip = max(0, skip - size)
    return found


def dead_letter_count(broker: Broker, queue: str) -> int:
    """How many dead letters a queue has, the ones being handled included. Raises QueueNotFoundError."""
    graves = _graves(broker, queue)
    if not broker.exists(graves[0].queue):
        raise QueueNotFoundError(graves[0].queue)
    return sum(int(broker.connection.execute("HLEN", k.messages)) for k in graves)


def _graves(broker: Broker, queue: str) -> list[keys.QueueKeys]:
    """The keys of the dead-letter queue's shards."""
    return [broker.keys(shard) for shard in broker.shards(broker.keys(queue).dead_letters().queue)]


def dead_letter_ids(broker: Broker, queue: str) -> list[str]:
    """The ids of all dead letters that nobody is handling, oldest first in each shard and place."""
    ids: list[bytes] = []
    for k in _graves(broker, queue):
        for key in (k.waiting, k.parked):
            ids += reversed(broker.connection.execute("LRANGE", key, 0, -1))
        for key in (k.prioritized, k.delayed):
            ids += broker.connection.execute("ZRANGE", key, 0, -1)
    return [raw_id.decode("utf-8", "backslashreplace") for raw_id in ids]


def dead_letter(broker: Broker, queue: str, message_id: str) -> DeadLetter | None:
    """One dead letter by its id, wherever in the dead-letter queue it is; None if it is not there."""
    for k in _graves(broker, queue):
        found = _read(broker, k, "", [message_id.encode("utf-8", "surrogateescape")])
        if found:
            return found[0]
    return None


def _read(broker: Broker, k: keys.QueueKeys, place: str, ids: list[bytes]) -> list[DeadLetter]:
    if not ids:
        return []
    envelopes = broker.connection.execute("HMGET", k.messages, *ids)
    letters = []
    for raw_id, envelope in zip(ids, envelopes):
        if envelope is None:
            continue
        message_id = raw_id.decode("utf-8", "backslashreplace")
        try:
            message: Message | None = decode_envelope(message_id, k.queue, envelope)
        except DecodeError:
            message = None
        letters.append(DeadLetter(message_id, place, message, envelope, k.queue))
    return letters


def replay(broker: Broker, queue: str, letter: DeadLetter) -> bool:
    """Put a dead letter back into the queue that it came from; False if it is not there any more.

    Raises QueueNotFoundError.
    """
    dead = broker.keys(letter.queue or queue).dead_letters()
    k = broker.keys(dead.owner)
    places = [dead.waiting, dead.prioritized, dead.delayed, dead.parked, dead.messages, dead.attempts]
    target = [k.meta, k.waiting, k.prioritized, k.messages, k.attempts, k.wake, k.stats]
    priority = letter.message.priority if letter.message else 0
    reply = broker.run("replay", [*places, *target], letter.id, priority)
    if reply == -1:
        raise QueueNotFoundError(dead.owner)
    return bool(reply)
