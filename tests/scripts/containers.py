"""The contents of a queue's keys as one value, which tests write before a script runs and compare after it."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Tuple

from redis import Redis

from bizzmq.broker import scripts
from bizzmq.testing.layout import Keys

Ids = Tuple[str, ...]
LATER_MS = 60_000
PERIOD_MS = 10_000
FRESH = "fresh"
"""How `look` shows a counter that began with Redis's clock: its number differs each time."""
_CLOCK_DIGITS = 16
NOW, SOON = "NOW", "SOON"


class Ranked(Dict[str, int]):
    """Id -> priority in the order of handling. Equality includes the order."""

    def __init__(self, priorities: Mapping[str, int]) -> None:
        super().__init__(sorted(priorities.items(), key=lambda item: -item[1]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]  # a dict has none


@dataclass(frozen=True)
class Containers:
    """One queue. Lists and priorities are in the order of handling: the first id is the next one.

    Each id in a list or set has an envelope, unless it is in `forged`. An id in `unplaced` has an envelope and is in
    no list or set. `due` and `delayed` are the two parts of the delayed set: due now, and due in a minute. `retry` is
    the initial retry count, or None if the queue does not exist. `wake` says whether the marker exists: one member
    with the score 0. The messages of `keeps` keep their results for a minute. `results` are the stored ones: id ->
    state, value or error, and for a value the delivery and the times. `cancels` are the requests to cancel:
    id -> record; those of a dead-letter queue are with its queue. `schedules` are definitions, `next_due` and `fires`
    the due times and states of schedules: NOW stands for the present time, SOON for up to a minute later.
    `options` are further options of the queue that scripts read. In `extras`, which belongs to the queue and not to its
    dead-letter queue, PAST and LATER stand for times of expiry; `unique` has the unique keys. `pauses` are without
    their times; `tasks` are those of messages that have one. `others` are further strings and hashes by the ends of
    their keys, with `<now>`, `<later>`, `<period>` and `<minute>` for the time in ms, a minute later, in tens of
    seconds, and in minutes; they are not looked at.
    """

    waiting: Ids = ()
    prioritized: Mapping[str, int] = field(default_factory=dict)
    due: Ids = ()
    delayed: Ids = ()
    parked: Ids = ()
    processing: Mapping[str, Ids] = field(default_factory=dict)
    attempts: Mapping[str, str] = field(default_factory=dict)
    forged: Ids = ()
    unplaced: Ids = ()
    workers: Mapping[str, str] = field(default_factory=dict)
    supervisors: Mapping[str, str] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    stats: Mapping[str, int] = field(default_factory=dict)
    wake: bool = False
    keeps: Ids = ()
    results: Mapping[str, str] = field(default_factory=dict)
    cancels: Mapping[str, str] = field(default_factory=dict)
    suspended: Ids = ()
    pauses: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)
    retry: str | None = "0"
    schedules: Mapping[str, str] = field(default_factory=dict)
    next_due: Mapping[str, Any] = field(default_factory=dict)
    fires: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, str] = field(default_factory=dict)
    unique: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prioritized", Ranked(self.prioritized))
        object.__setattr__(self, "keeps", tuple(sorted(self.keeps)))

    def ids(self) -> set[str]:
        """Ids in any list or set."""
        held = [message_id for ids in self.processing.values() for message_id in ids]
        return {*self.waiting, *self.prioritized, *self.due, *self.delayed, *self.parked, *self.suspended, *held}


PAST, LATER = '"expires_ms":1', '"expires_ms":9'
NO_QUEUE = Containers(retry=None)


def envelope(message_id: str, *, keeps_result: bool = False, task: str = "", key: str = "") -> bytes:
    options = ['"result_ttl_s":60.0'] if keeps_result else []
    options += [f'"{name}":"{value}"' for name, value in (("task", task), ("key", key)) if value]
    header = "1\t{" + ",".join(options) + "}" if options else "1"
    return f'{header}\n"body of {message_id}"'.encode()


def put(redis: Redis, queue: str, wanted: Containers) -> None:
    """Write these contents. The queue's keys must not exist."""
    keys = Keys(queue)
    now_ms = int(time.time() * 1000)
    scores = {
        message_id: -priority + (0.25 + index * 2**-20 if abs(priority) < 2**30 else 0)
        for index, (message_id, priority) in enumerate(wanted.prioritized.items())
    }
    held_back = dict.fromkeys(wanted.delayed, now_ms + LATER_MS)
    due = {message_id: now_ms - LATER_MS + index for index, message_id in enumerate(wanted.due)}
    envelopes = {
        message_id: envelope(message_id, keeps_result=message_id in wanted.keeps, task=wanted.tasks.get(message_id, ""))
        for message_id in {*wanted.ids(), *wanted.unplaced} - {*wanted.forged}
    }
    lists = {keys.waiting: wanted.waiting, keys.parked: wanted.parked}
    lists.update({keys.processing(worker): ids for worker, ids in wanted.processing.items()})
    sets = {keys.prioritized: scores, keys.delayed: {**held_back, **due}, keys.wake: {"m": 0} if wanted.wake else {}}
    sets[keys.due] = dict(wanted.next_due)
    later = f'"expires_ms":{now_ms + LATER_MS}'
    sets[keys.prefix + "suspended"] = {one: 1 + index for index, one in enumerate(wanted.suspended)}
    hashes: dict[str, Mapping[str, Any]] = {
        keys.messages: envelopes, keys.attempts: wanted.attempts, keys.workers: wanted.workers,
        keys.supervisors: wanted.supervisors, keys.releases: wanted.releases, keys.stats: wanted.stats,
        keys.meta: {} if wanted.retry is None else {"retry": wanted.retry, **wanted.options},
        keys.prefix + "cancels": wanted.cancels,
        keys.extras: {
            **dict.fromkeys(wanted.cancels, "{}"),
            **{name: entry.replace(LATER, later) for name, entry in wanted.extras.items()},
        },
        keys.unique: wanted.unique,
        keys.schedules: wanted.schedules, keys.fires: wanted.fires,
        keys.prefix + "pauses": wanted.pauses,
    }  # fmt: skip
    with redis.pipeline() as together:
        for key, ids in lists.items():
            if ids:
                together.lpush(key, *ids)
        for key, members in sets.items():
            if members:
                together.zadd(key, members)
        for key, fields in hashes.items():
            if fields:
                together.hset(key, mapping=dict(fields))
        for end, given in wanted.others.items():
            if isinstance(given, str):
                together.set(keys.prefix + end, _timed(given, now_ms))
            else:
                together.hset(keys.prefix + end, mapping={name: _timed(text, now_ms) for name, text in given.items()})
        for message_id, text in wanted.results.items():
            state, _, value = text.partition(" ")
            together.set(keys.result(message_id), f"{state}\t\t\t\n{value}", ex=60)
        together.execute()


def _timed(text: str, now_ms: int) -> str:
    times = {
        "<now>": now_ms,
        "<later>": now_ms + LATER_MS,
        "<period>": now_ms // PERIOD_MS,
        "<minute>": now_ms // 60_000,
    }
    for name, time_now in times.items():
        text = text.replace(name, str(time_now))
    return text


def untimed(text: str, now_ms: int) -> str:
    """A text with names in place of times, as in `others`. A time within a minute before now is `<now>`."""

    def name_of(number: re.Match[str]) -> str:
        distance = int(number[0]) - now_ms
        if -LATER_MS / 2 < distance <= LATER_MS / 2:
            return "<now>"
        return "<later>" if LATER_MS / 2 < distance <= 1.5 * LATER_MS else number[0]

    text = re.sub(r"\b\d{13}\b", name_of, text)
    minute = now_ms // 60_000
    text = re.sub(rf"^({minute}|{minute - 1}) ", "<minute> ", text, flags=re.MULTILINE)
    return "<period>" if text.isdigit() and 0 <= now_ms // PERIOD_MS - int(text) <= 3 else text


class Copy:
    """The keys with a prefix, read in three round trips; its methods are those of a client, for these keys."""

    def __init__(self, redis: Redis, prefix: str = "") -> None:
        self.pttl = redis.pttl
        names = sorted(redis.keys(prefix + "*"))
        with redis.pipeline(transaction=False) as together:  # Redis at its memory limit refuses MULTI
            for name in names:
                together.type(name)
            kinds = dict(zip(names, together.execute())) if names else {}
            readers = {
                "string": together.get,
                "hash": together.hgetall,
                "stream": together.xrange,
                "set": together.smembers,
                "list": lambda key: together.lrange(key, 0, -1),
                "zset": lambda key: together.zrange(key, 0, -1, withscores=True),
            }
            there = [name for name, kind in kinds.items() if kind != "none"]  # a worker may have removed it meanwhile
            for name in there:
                readers[kinds[name]](name)
            self.values = dict(zip(there, together.execute())) if there else {}

    def keys(self, pattern: str) -> list[str]:
        return [name for name in self.values if name.startswith(pattern[:-1])]

    def hgetall(self, key: str) -> dict[str, str]:
        return dict(self.values.get(key, {}))

    def hget(self, key: str, field: str) -> str | None:
        return self.hgetall(key).get(field)

    def lrange(self, key: str, _first: int, _last: int) -> list[str]:
        return list(self.values.get(key, []))

    def zrange(self, key: str, _first: int, _last: int, *, withscores: bool) -> list[tuple[str, float]]:
        assert withscores
        return list(self.values.get(key, []))

    def get(self, key: str) -> str | None:
        return self.values.get(key)


def look(server: Redis, queue: str, moved_ms: int = 0) -> Containers:
    """The contents of the queue now; by a moved clock if there is one."""
    keys = Keys(queue)
    redis = Copy(server, keys.prefix)
    now_ms = moved_ms or time.time() * 1000
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
        supervisors={
            name: FRESH if len(counter) == _CLOCK_DIGITS else counter
            for name, counter in redis.hgetall(keys.supervisors).items()
        },
        releases=redis.hgetall(keys.releases),
        stats={name: int(value) for name, value in redis.hgetall(keys.stats).items()},
        wake=_has_marker(redis, keys.wake),
        cancels=redis.hgetall(keys.prefix + "cancels"),
        suspended=tuple(name for name, _ in redis.zrange(keys.prefix + "suspended", 0, -1, withscores=True)),
        pauses={
            name: re.sub(r'"(since|until)_ms":\d+,?', "", text)
            for name, text in redis.hgetall(keys.prefix + "pauses").items()
        },
        retry=redis.hget(keys.meta, "retry"),
        schedules=redis.hgetall(keys.schedules),
        next_due={
            name: SOON if 0 <= score - now_ms < LATER_MS else score
            for name, score in redis.zrange(keys.due, 0, -1, withscores=True)
        },
        fires={name: _with_now(text, now_ms) for name, text in redis.hgetall(keys.fires).items()},
    )
    envelopes = redis.hgetall(keys.messages)
    stored = set(envelopes)
    keeps = tuple(name for name, text in envelopes.items() if text.startswith('1\t{"result_ttl_s"'))
    forged, unplaced = tuple(sorted(found.ids() - stored)), tuple(sorted(stored - found.ids()))
    named = {name: re.match(r'1\t{"task":"(\w+)"}', text) for name, text in envelopes.items()}
    tasks = {name: match[1] for name, match in named.items() if match}
    kept = {"keeps": keeps, "tasks": tasks, "results": _results(redis, keys.result("")), **_beside(redis, keys)}
    return Containers(**{**vars(found), "forged": forged, "unplaced": unplaced, **kept})


def _with_now(state: str, now_ms: float) -> str:
    due, at, rest = state.split(" ", 2)
    return f"{due} {NOW if abs(int(at) - now_ms) < LATER_MS else at} {rest}"


def _beside(redis: Copy, keys: Keys) -> dict[str, dict[str, str]]:
    """Options that scripts read, and what messages have beside them."""
    meta = redis.hgetall(keys.meta)
    usual = {"max_length": "", "when_full": "refuse", "dead_letter_expired": "0"}
    options = {name: meta[name] for name, one in usual.items() if meta.get(name, one) != one}
    if keys.prefix.endswith("dlq:"):
        return {"options": options}
    extras = {
        name: re.sub(r'"expires_ms":(\d{2,})', LATER, entry)
        for name, entry in redis.hgetall(keys.extras).items()
        if entry != "{}"
    }
    return {"options": options, "extras": extras, "unique": redis.hgetall(keys.unique)}


def _results(redis: Copy, prefix: str) -> dict[str, str]:
    """Id -> state, value or error, and of a success the numbers. Each expires within a minute."""
    found = {}
    for key in redis.keys(prefix + "*"):
        if key.endswith(":history"):
            continue  # see beside.py
        assert LATER_MS / 2 < redis.pttl(key) <= LATER_MS
        line, _, value = redis.get(key).partition("\n")
        state, *numbers = line.split("\t")
        if state != "succeeded":
            assert numbers[2], "a failure has the time of its end"
            numbers = []
        found[key[len(prefix) :]] = " ".join([state, value, *filter(None, numbers)])
    return found


def _has_marker(redis: Copy, key: str) -> bool:
    found = redis.zrange(key, 0, -1, withscores=True)
    assert found in ([], [("m", 0.0)])
    return bool(found)


def everything(redis: Redis) -> dict[str, Any]:
    """All keys of the server with their values, to check that nothing has changed."""
    return Copy(redis).values


def lasting(redis: Redis) -> set[str]:
    """The names of all keys that outlive their client: what clients have asked last is kept for two minutes."""
    return {name for name in everything(redis) if ":publisher:" not in name and ":reply:" not in name}


def _in_order(redis: Copy, key: str) -> Ids:
    return tuple(reversed(redis.lrange(key, 0, -1)))


def load_all(redis: Redis) -> None:
    """Put all scripts into the server's cache, so that each call is one EVALSHA."""
    known = redis.script_exists(*[scripts.load(name).digest for name in scripts.names()])
    for name, is_there in zip(scripts.names(), known):
        if not is_there:
            redis.script_load(scripts.load(name).source)


def can_search_lists(redis: Redis) -> bool:
    """Whether the server has LPOS: Redis 6.0.6 and newer, Valkey."""
    version = str(redis.info("server")["redis_version"])  # Valkey reports the Redis version that it is compatible with
    return tuple(map(int, version.split("."))) >= (6, 0, 6)
