"""What a queue's keys hold, as one value: written before a script runs, read and compared after it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Tuple

from redis import Redis

from bizzmq.testing.layout import Keys

Ids = Tuple[str, ...]
LATER_MS = 60_000


class Ranked(Dict[str, int]):
    """Id -> priority in the order of handling: equal only if that is, too."""

    def __init__(self, priorities: Mapping[str, int]) -> None:
        super().__init__(sorted(priorities.items(), key=lambda item: -item[1]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]  # a dict has none


@dataclass(frozen=True)
class Containers:
    """One queue. Lists stand in the order of handling: their first id is the next one. So do those of one priority.

    Each id that stands somewhere has an envelope, unless it is in `forged`; those in `stray` have one and stand
    nowhere. `due` and `delayed` are the two parts of the delayed set: what may be promoted now, and what is held
    back for a minute. `retry` is the initial retry count, or None if the queue does not exist. `wake` tells
    whether there is the marker: one member, with the score 0.
    """

    waiting: Ids = ()
    prioritized: Mapping[str, int] = field(default_factory=dict)
    due: Ids = ()
    delayed: Ids = ()
    parked: Ids = ()
    processing: Mapping[str, Ids] = field(default_factory=dict)
    attempts: Mapping[str, str] = field(default_factory=dict)
    forged: Ids = ()
    stray: Ids = ()
    workers: Mapping[str, str] = field(default_factory=dict)
    supervisors: Mapping[str, str] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    stats: Mapping[str, int] = field(default_factory=dict)
    wake: bool = False
    retry: str | None = "0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "prioritized", Ranked(self.prioritized))

    def ids(self) -> set[str]:
        """All ids that stand in some place, each of which must hold its envelope, too."""
        held = [message_id for ids in self.processing.values() for message_id in ids]
        return {*self.waiting, *self.prioritized, *self.due, *self.delayed, *self.parked, *held}


NO_QUEUE = Containers(retry=None)


def envelope(message_id: str) -> bytes:
    return b'1\n"body of %s"' % message_id.encode()


def put(redis: Redis, queue: str, wanted: Containers) -> None:
    """Make the queue hold exactly this. Its keys must not exist."""
    keys = Keys(queue)
    now_ms = int(time.time() * 1000)
    scores = {
        message_id: -priority + (0.25 + index * 2**-20 if abs(priority) < 2**30 else 0)
        for index, (message_id, priority) in enumerate(wanted.prioritized.items())
    }
    held_back = dict.fromkeys(wanted.delayed, now_ms + LATER_MS)
    due = {message_id: now_ms - LATER_MS + index for index, message_id in enumerate(wanted.due)}
    envelopes = {message_id: envelope(message_id) for message_id in {*wanted.ids(), *wanted.stray} - {*wanted.forged}}
    lists = {keys.waiting: wanted.waiting, keys.parked: wanted.parked}
    lists.update({keys.processing(worker): ids for worker, ids in wanted.processing.items()})
    sets = {keys.prioritized: scores, keys.delayed: {**held_back, **due}, keys.wake: {"m": 0} if wanted.wake else {}}
    hashes: dict[str, Mapping[str, Any]] = {
        keys.messages: envelopes, keys.attempts: wanted.attempts, keys.workers: wanted.workers,
        keys.supervisors: wanted.supervisors, keys.releases: wanted.releases, keys.stats: wanted.stats,
        keys.meta: {} if wanted.retry is None else {"retry": wanted.retry},
    }  # fmt: skip
    for key, ids in lists.items():
        if ids:
            redis.lpush(key, *ids)
    for key, members in sets.items():
        if members:
            redis.zadd(key, members)
    for key, fields in hashes.items():
        if fields:
            redis.hset(key, mapping=dict(fields))


def look(redis: Redis, queue: str) -> Containers:
    """What the queue holds now."""
    keys = Keys(queue)
    now_ms = time.time() * 1000
    delayed = redis.zrange(keys.delayed, 0, -1, withscores=True)
    prefix = keys.processing("")
    holders = sorted(key[len(prefix) :] for key in redis.keys(prefix + "*"))
    found = Containers(
        waiting=_in_order(redis, keys.waiting),
        prioritized={
            name: -math.floor(score) for name, score in redis.zrange(keys.prioritized, 0, -1, withscores=True)
        },
        due=tuple(name for name, score in delayed if score <= now_ms),
        delayed=tuple(name for name, score in delayed if score > now_ms),
        parked=_in_order(redis, keys.parked),
        processing={worker: _in_order(redis, keys.processing(worker)) for worker in holders},
        attempts=redis.hgetall(keys.attempts),
        workers=redis.hgetall(keys.workers),
        supervisors=redis.hgetall(keys.supervisors),
        releases=redis.hgetall(keys.releases),
        stats={name: int(value) for name, value in redis.hgetall(keys.stats).items()},
        wake=_has_marker(redis, keys.wake),
        retry=redis.hget(keys.meta, "retry"),
    )
    stored = set(redis.hkeys(keys.messages))
    forged, stray = tuple(sorted(found.ids() - stored)), tuple(sorted(stored - found.ids()))
    return Containers(**{**vars(found), "forged": forged, "stray": stray})


def _has_marker(redis: Redis, key: str) -> bool:
    found = redis.zrange(key, 0, -1, withscores=True)
    assert found in ([], [("m", 0.0)])
    return bool(found)


def everything(redis: Redis) -> dict[str, Any]:
    """The whole keyspace, for tests that nothing has changed."""
    readers = {
        "string": redis.get,
        "hash": redis.hgetall,
        "set": redis.smembers,
        "list": lambda key: redis.lrange(key, 0, -1),
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    return {key: readers[redis.type(key)](key) for key in redis.keys("*")}


def _in_order(redis: Redis, key: str) -> Ids:
    return tuple(reversed(redis.lrange(key, 0, -1)))


def can_search_lists(redis: Redis) -> bool:
    """Whether the server has LPOS: Redis 6.0.6 and newer, Valkey."""
    version = str(redis.info("server")["redis_version"])  # Valkey says which Redis it is like
    return tuple(map(int, version.split("."))) >= (6, 0, 6)
