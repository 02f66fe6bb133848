"""The keys of a queue and what they hold, read without the library that is under test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from redis import Redis

DEAD_LETTER_SUFFIX = "_dlq"

# One script, so that the snapshot is one moment of all keys, also under load. Prefixes need no escaping:
# queue names hold no character that is special in a pattern.
_SNAPSHOT = """
local views = {}
for _, prefix in ipairs(ARGV) do
  local processing = {}
  for _, key in ipairs(redis.call('KEYS', prefix .. 'processing:*')) do
    table.insert(processing, string.sub(key, #prefix + #'processing:' + 1))
    table.insert(processing, redis.call('LRANGE', key, 0, -1))
  end
  table.insert(views, {
    redis.call('LRANGE', prefix .. 'waiting', 0, -1),
    redis.call('ZRANGE', prefix .. 'prioritized', 0, -1),
    redis.call('ZRANGE', prefix .. 'delayed', 0, -1),
    redis.call('LRANGE', prefix .. 'parked', 0, -1),
    redis.call('ZRANGE', prefix .. 'suspended', 0, -1),
    processing,
    redis.call('HKEYS', prefix .. 'messages'),
    redis.call('HGETALL', prefix .. 'attempts'),
    redis.call('HGETALL', prefix .. 'workers'),
    redis.call('HKEYS', prefix .. 'supervisors'),
  })
end
return views
"""


class Keys:
    """Key names of one queue; those of `q_dlq` share the hash tag of `q`."""

    def __init__(self, queue: str) -> None:
        owner = queue[: -len(DEAD_LETTER_SUFFIX)] if queue.endswith(DEAD_LETTER_SUFFIX) else queue
        self.prefix = f"bizzmq:{{{owner}}}:" + ("" if owner == queue else "dlq:")
        self.messages = self.prefix + "messages"
        self.attempts = self.prefix + "attempts"
        self.waiting = self.prefix + "waiting"
        self.prioritized = self.prefix + "prioritized"
        self.delayed = self.prefix + "delayed"
        self.parked = self.prefix + "parked"
        self.supervisors = self.prefix + "supervisors"
        self.workers = self.prefix + "workers"
        self.releases = self.prefix + "releases"
        self.wake = self.prefix + "wake"
        self.stats = self.prefix + "stats"
        self.meta = self.prefix + "meta"
        self.schedules = self.prefix + "schedules"
        self.due = self.prefix + "due"
        self.fires = self.prefix + "fires"
        self.extras = f"bizzmq:{{{owner}}}:extras"
        self.unique = f"bizzmq:{{{owner}}}:unique"
        shared = f"bizzmq:{{{owner}}}:"
        self.beside = [
            self.extras,
            *(shared + name for name in ("checkpoints", "progress", "history", "cancels", "output", "profiles")),
        ]

    def processing(self, worker: str) -> str:
        return f"{self.prefix}processing:{worker}"

    def result(self, message_id: str) -> str:
        return f"{self.prefix}result:{message_id}"


@dataclass(frozen=True)
class Attempts:
    """The stored counts of a message; all zero if none are stored."""

    retries: int = 0
    crashes: int = 0
    requeues: int = 0
    priority: int = 0


@dataclass(frozen=True)
class Envelope:
    """A stored message, decoded."""

    options: Mapping[str, Any]
    error: Mapping[str, Any] | None
    body: Any


@dataclass(frozen=True)
class View:
    """One queue at one moment. Lists are in the order of Redis: the head is the last element."""

    queue: str
    waiting: list[str]
    prioritized: list[str]
    delayed: list[str]
    parked: list[str]
    suspended: list[str]
    processing: dict[str, list[str]]
    messages: set[str]
    attempts: dict[str, Attempts]
    workers: dict[str, str]
    supervisors: set[str]

    def places(self) -> Iterator[tuple[str, str]]:
        """(id, place) for each place that holds an id; the name of a place includes its queue."""
        plain = {
            "waiting": self.waiting,
            "prioritized": self.prioritized,
            "delayed": self.delayed,
            "parked": self.parked,
            "suspended": self.suspended,
        }
        lists = {**plain, **{f"processing:{worker}": ids for worker, ids in self.processing.items()}}
        for place, ids in lists.items():
            for message_id in ids:
                yield message_id, f"{self.queue} {place}"

    def ids(self) -> set[str]:
        """All ids in any place of this queue."""
        return {message_id for message_id, _ in self.places()}


def command(redis: Redis, *words: str | int) -> Any:
    """The reply to one command, for which redis-py declares no usable type."""
    execute: Any = redis.execute_command
    return execute(*words)


def snapshot(redis: Redis, queue: str) -> tuple[View, View]:
    """The queue and its dead-letter queue at one moment."""
    names = (queue, queue + DEAD_LETTER_SUFFIX)
    views = command(redis, "EVAL", _SNAPSHOT, 0, *[Keys(name).prefix for name in names])
    main, dead = (_view(name, reply) for name, reply in zip(names, views))
    return main, dead


def attempts_of(redis: Redis, queue: str, message_id: str) -> Attempts:
    """The stored counts of a message."""
    stored = command(redis, "HGET", Keys(queue).attempts, message_id)
    return _attempts(_text(stored)) if stored is not None else Attempts()


def envelope_of(redis: Redis, queue: str, message_id: str) -> Envelope:
    """A stored message; AssertionError if it is not stored in that queue."""
    stored = command(redis, "HGET", Keys(queue).messages, message_id)
    assert stored is not None, f"{message_id} is not stored in {queue}"
    header, _, body = _text(stored).partition("\n")
    version, *parts = header.split("\t")
    assert version == "1", f"unknown version in {header!r}"
    options, error = ([json.loads(part) for part in parts] + [None, None])[:2]
    return Envelope(options or {}, error, json.loads(body))


def _view(queue: str, reply: Any) -> View:
    waiting, prioritized, delayed, parked, suspended, processing, messages, attempts, workers, supervisors = reply
    return View(
        queue=queue,
        waiting=_texts(waiting),
        prioritized=_texts(prioritized),
        delayed=_texts(delayed),
        parked=_texts(parked),
        suspended=_texts(suspended),
        processing={worker: _texts(ids) for worker, ids in _pairs(processing)},
        messages=set(_texts(messages)),
        attempts={message_id: _attempts(_text(stored)) for message_id, stored in _pairs(attempts)},
        workers={worker: _text(supervisor) for worker, supervisor in _pairs(workers)},
        supervisors=set(_texts(supervisors)),
    )


def _attempts(stored: str) -> Attempts:
    return Attempts(*[int(part) for part in stored.partition("\t")[0].split()])


def _pairs(flat: list[Any]) -> list[tuple[str, Any]]:
    return [(_text(flat[index]), flat[index + 1]) for index in range(0, len(flat), 2)]


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _texts(values: list[Any]) -> list[str]:
    return [_text(value) for value in values]
