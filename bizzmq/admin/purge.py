"""Deletes the messages that no worker holds and that are there when the purge begins."""

from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.message_calls import delete_call, delete_result
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.operations import Operation, Script, command
from bizzmq.broker.queues import purge_call, purge_result, read_shards
from bizzmq.errors import QueueNotFoundError
from bizzmq.protocol import ids as message_ids
from bizzmq.protocol.keys import QueueKeys

_PAGE = 1000


class Purge(NamedTuple):
    """What is left to do in one list or set of a shard.

    Attributes:
        newer, marks: of a list, as the last step returned them.
        ids: of a set, those that were there when the purge began and are left.
        nonce: names the purge to the server: a step that is repeated after a lost reply returns the same.
        number: how many steps were before.
    """

    k: QueueKeys
    place: str
    newer: int = 0
    marks: Sequence[bytes] = ()
    ids: Sequence[bytes] = ()
    nonce: str = ""
    number: int = 0


def purge_all(broker: Broker, queue: str) -> Iterator[int]:
    """Delete the messages of all shards step by step. Yields the number of messages that each step has deleted.

    It ends even if clients publish meanwhile. Messages that workers claim meanwhile are handled, not deleted.
    """
    purges = broker.perform(begin_purge(broker.keys(queue)))
    for purge_now in purges:
        rest: Purge | None = purge_now
        while rest is not None:
            deleted, rest = broker.perform(purge_step(rest))
            yield deleted


def begin_purge(k: QueueKeys) -> Operation[list[Purge]]:
    """What a purge of a queue deletes. It is noted before anything is deleted, which takes time.

    Raises:
        QueueNotFoundError: there is no such queue.
    """
    yield from check_exists(k)
    found: list[Purge] = []
    nonce = message_ids.nonce()
    for shard in (yield from read_shards(k)):
        for place in (shard.waiting, shard.prioritized, shard.delayed, shard.suspended, shard.parked):
            if place in (shard.waiting, shard.parked):
                reply = yield Script("purge", purge_call(shard, place, 0, -1, ()))
                _, newer, marks = purge_result(reply)
                if newer >= 0:
                    found.append(Purge(shard, place, newer, marks, nonce=nonce))
            else:
                ids = yield from _members(place)
                if ids:
                    found.append(Purge(shard, place, ids=ids, nonce=nonce))
    return found


def check_exists(k: QueueKeys) -> Operation[None]:
    """Raise QueueNotFoundError if there is no such queue."""
    exists = yield command("EXISTS", k.meta)
    if not exists:
        raise QueueNotFoundError(k.queue)


def purge_step(step: Purge) -> Operation[tuple[int, Purge | None]]:
    """Delete some messages. Returns how many, and what is left to do."""
    if step.ids:
        now, later = step.ids[:BATCH_LIMIT], step.ids[BATCH_LIMIT:]
        reply = yield Script("delete", delete_call(step.k, step.place, now, step.nonce))
        return delete_result(reply), step._replace(ids=later) if later else None
    call = purge_call(step.k, step.place, BATCH_LIMIT, step.newer, step.marks, step.nonce, step.number)
    reply = yield Script("purge", call)
    deleted, newer, marks = purge_result(reply)
    return deleted, step._replace(newer=newer, marks=marks, number=step.number + 1) if newer >= 0 else None


def purge(broker: Broker, queue: str, limit: int = BATCH_LIMIT) -> int:
    """Delete up to `limit` (at most 100) messages that no worker holds, oldest first. Returns how many."""
    k = broker.keys(queue)
    deleted = 0
    for place in (k.waiting, k.prioritized, k.delayed, k.suspended, k.parked):
        if deleted == limit:
            break
        if place in (k.waiting, k.parked):
            deleted += broker.purge(queue, place, limit - deleted).deleted
        else:
            deleted += broker.delete(queue, place, broker.connection.execute("ZRANGE", place, 0, limit - deleted - 1))
    return deleted


def _members(place: str) -> Operation[list[bytes]]:
    found: dict[bytes, None] = {}
    cursor: Any = 0
    while True:
        cursor, flat = yield command("ZSCAN", place, cursor, "COUNT", _PAGE)
        found.update(dict.fromkeys(flat[::2]))
        if int(cursor) == 0:
            return list(found)
