"""Deleting messages that nobody runs: those that were there when it was asked, and none that come later."""

from __future__ import annotations

from typing import Any, Iterator

from bizzmq.broker import BATCH_LIMIT, Broker
from bizzmq.keys import QueueKeys

_PAGE = 1000


def purge_all(broker: Broker, queue: str) -> Iterator[int]:
    """Delete all that stands in a queue's shards now, step by step; gives how many each step has deleted.

    It ends, however much is published meanwhile. What workers take meanwhile they handle.
    """
    runs = [run for shard in broker.shards(queue) for run in _runs(broker, broker.keys(shard))]
    for run in runs:
        next(run)  # each notes what is there now, before any of them takes its time
    for run in runs:
        yield from run


def purge(broker: Broker, queue: str, limit: int = BATCH_LIMIT) -> int:
    """Delete up to `limit` (at most 100) messages that nobody runs, the oldest first; returns how many."""
    k = broker.keys(queue)
    deleted = 0
    for place in (k.waiting, k.prioritized, k.delayed, k.parked):
        if deleted == limit:
            break
        if place in (k.waiting, k.parked):
            deleted += _purge(broker, k, place, limit - deleted, -1, [])[0]
        else:
            ids = broker.connection.execute("ZRANGE", place, 0, limit - deleted - 1)
            deleted += _delete(broker, k, place, ids)
    return deleted


def _runs(broker: Broker, k: QueueKeys) -> list[Iterator[int]]:
    return [
        _listed(broker, k, k.waiting), _ranked(broker, k, k.prioritized), _ranked(broker, k, k.delayed),
        _listed(broker, k, k.parked),
    ]  # fmt: skip


def _listed(broker: Broker, k: QueueKeys, place: str) -> Iterator[int]:
    """How many each step has deleted; the first one only looks."""
    _, newer, marks = _purge(broker, k, place, 0, -1, [])
    yield 0
    while newer >= 0:
        deleted, newer, marks = _purge(broker, k, place, BATCH_LIMIT, newer, marks)
        yield deleted


def _ranked(broker: Broker, k: QueueKeys, place: str) -> Iterator[int]:
    """How many each step has deleted; the first one only looks."""
    ids = list(dict.fromkeys(_members(broker, place)))
    yield 0
    for first in range(0, len(ids), BATCH_LIMIT):
        yield _delete(broker, k, place, ids[first : first + BATCH_LIMIT])


def _members(broker: Broker, place: str) -> Iterator[bytes]:
    cursor: Any = 0
    while True:
        cursor, flat = broker.connection.execute("ZSCAN", place, cursor, "COUNT", _PAGE)
        yield from flat[::2]
        if int(cursor) == 0:
            return


def _purge(
    broker: Broker, k: QueueKeys, place: str, limit: int, newer: int, marks: list[bytes]
) -> tuple[int, int, list[bytes]]:
    deleted, newer, marks = broker.run("purge", [place, k.messages, k.attempts, k.stats], limit, newer, *marks)
    return deleted, newer, marks


def _delete(broker: Broker, k: QueueKeys, place: str, ids: list[bytes]) -> int:
    return int(broker.run("delete", [place, k.messages, k.attempts, k.stats], *ids)) if ids else 0
