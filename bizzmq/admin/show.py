"""Reads what is stored about a queue itself."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation, command
from bizzmq.broker.queues import meta_result, read_shards
from bizzmq.broker.replies import pairs
from bizzmq.protocol.keys import QueueKeys
from bizzmq.queue import QueueOptions

_MS = re.compile(rb"[1-9][0-9]{0,13}\Z")


@dataclass(frozen=True)
class QueueInfo:
    """A queue and its stored options.

    Attributes:
        queue: the name of the queue.
        options: the stored options.
        is_implicit: whether nobody has chosen the options yet: the first explicit ones replace them.
        created_at_s: when it was created, seconds since the epoch by Redis's clock; None if unknown, as for a
            dead-letter queue that came with its first dead letter.
        shards: the names of its shards, the queue itself first.
        dead_letter_queue: the name of its dead-letter queue; "" if it has none or is one itself.
    """

    queue: str
    options: QueueOptions
    is_implicit: bool
    created_at_s: float | None
    shards: tuple[str, ...]
    dead_letter_queue: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the options are a mapping."""
        return {**vars(self), "options": asdict(self.options), "shards": list(self.shards)}


def show(broker: Broker, queue: str) -> QueueInfo:
    """What is stored about a queue. Raises QueueNotFoundError, DecodeError."""
    return broker.perform(read_info(broker.keys(queue)))


def read_info(k: QueueKeys) -> Operation[QueueInfo]:
    """The operation of `show`."""
    flat = yield command("HGETALL", k.meta)
    options, is_implicit = meta_result(flat, k.queue)
    shards = yield from read_shards(k)
    dead = k.dead_letters()
    has_dead = dead is not k and (options.config_dead_letter_queue or (yield command("EXISTS", dead.meta)))
    created_ms = dict(pairs(flat)).get(b"created_ms", b"")
    created_at_s = int(created_ms) / 1000 if _MS.match(created_ms) else None
    names = tuple(shard.queue for shard in shards)
    return QueueInfo(k.queue, options, is_implicit, created_at_s, names, dead.queue if has_dead else "")
