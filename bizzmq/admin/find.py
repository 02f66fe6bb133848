"""Finds a message by its id."""

from __future__ import annotations

from bizzmq.admin.stored_message import StoredMessage, stored_message
from bizzmq.broker.operations import Operation, Together, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_bytes, as_text, pairs
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, QueueNotFoundError
from bizzmq.protocol import keys
from bizzmq.protocol.keys import QueueKeys

_TRIES = 3
_MOST_HELD = 200
"""Ids of a worker's list that are read: no worker holds more than a hundred."""


def find_message(k: QueueKeys | None, message_id: bytes) -> Operation[StoredMessage | None]:
    """Find a message in a queue and its dead-letter queue, or in all queues. None if no queue stores it.

    One request for each queue and each of its shards, and a second one for each queue.

    Raises:
        QueueNotFoundError: there is no such queue.
        WrongTypeError, DecodeError: a queue could not be searched, and the others do not have the message.
    """
    if k is not None:
        return (yield from _find_in_existing(k, message_id))
    trouble: BizzMQError | None = None
    members = yield command("SMEMBERS", keys.INDEX)
    names = {keys.owner_of(name) for name in map(as_text, members) if keys.is_name(name)}
    for name in sorted(names):
        try:
            found = yield from _find_in(QueueKeys(name), message_id)
        except QUEUE_TROUBLE as error:
            trouble = error
            continue
        if found is not None:
            return found
    if trouble is not None:
        raise trouble
    return None


def _find_in_existing(k: QueueKeys, message_id: bytes) -> Operation[StoredMessage | None]:
    own = QueueKeys(k.owner)
    found = yield from _find_in(own, message_id)
    if found is None:
        exists = yield command("EXISTS", own.meta, own.dead_letters().meta)
        if not exists:
            raise QueueNotFoundError(k.queue)
    return found


def _find_in(own: QueueKeys, message_id: bytes) -> Operation[StoredMessage | None]:
    for shard in (yield from read_shards(own)):
        for _ in range(_TRIES):
            sides = (shard, shard.dead_letters())
            stored = yield Together([("HGET", k.messages, message_id) for k in sides])
            holders = [k for k, envelope in zip(sides, stored) if envelope is not None]
            if not holders:
                break
            found = yield from locate_stored(holders[0], message_id)
            if found is not None:
                return found
    return None


def locate_stored(k: QueueKeys, message_id: bytes) -> Operation[StoredMessage | None]:
    """A stored message of a queue or shard and where it is, read at one moment. None if it has just left this side.

    Long lists are not searched: a message that is in no set and that no worker holds is waiting.
    """
    flat = yield command("HGETALL", k.workers)
    workers = [as_text(worker) for worker, _ in pairs(flat)]
    replies = yield Together([
        ("HGET", k.messages, message_id), ("HGET", k.attempts, message_id), ("ZSCORE", k.delayed, message_id),
        ("ZSCORE", k.prioritized, message_id), ("LLEN", k.parked), ("ZSCORE", k.suspended, message_id),
        *[("LRANGE", as_bytes(k.processing(worker)), -_MOST_HELD, -1) for worker in workers],
    ])  # fmt: skip
    envelope, attempts, due, priority, parked, aside, *lists = replies
    if envelope is None:
        return None
    worker = next((worker for worker, ids in zip(workers, lists) if message_id in ids), "")
    place = (
        "processing" if worker
        else "delayed" if due is not None
        else "prioritized" if priority is not None
        else "suspended" if aside is not None
        else "" if parked
        else "waiting"
    )  # fmt: skip
    due_ms = float(due) if place == "delayed" else None
    return stored_message(k, message_id, envelope, attempts, place, due_ms=due_ms, worker=worker)
