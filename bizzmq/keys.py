"""Key names. All keys of a queue and of its dead-letter queue share one hash tag, so one cluster slot."""

from __future__ import annotations

import re

from bizzmq.errors import ConfigurationError

DEAD_LETTER_SUFFIX = "_dlq"
INDEX = "bizzmq:queues"
"""SET  the names of all queues that were created by name. Their dead-letter queues are found by their meta."""

PROBE = "bizzmq:{bizzmq-doctor}:"
"""Begins keys that the doctor names to ask for permission, and never writes."""

MAX_SHARDS = 256
_GRAMMAR = re.compile(r"[A-Za-z0-9._-]{1,128}(:[1-9][0-9]{0,2})?\Z")
_NAME = re.compile(r"bizzmq:\{([^}]+)\}:(dlq:)?([a-z]+)")
_TYPES = {
    "meta": "hash", "messages": "hash", "attempts": "hash", "waiting": "list", "prioritized": "zset",
    "delayed": "zset", "parked": "list", "processing": "list", "supervisors": "hash", "workers": "hash",
    "releases": "hash", "wake": "zset", "stats": "hash", "publisher": "string",
}  # fmt: skip


def type_of(key: str) -> str:
    """What Redis's TYPE says of a key of ours, if it is as it should be; "" if the key is none of ours."""
    if key == INDEX:
        return "set"
    found = _NAME.match(key)
    return _TYPES.get(found[3], "") if found else ""


def queue_of(key: str) -> str:
    """The name of the queue that a key belongs to; "" if it belongs to none."""
    found = _NAME.match(key)
    return found[1] + (DEAD_LETTER_SUFFIX if found[2] else "") if found else ""


def is_name(queue: str) -> bool:
    """Whether this can be the name of a queue."""
    owner = queue[: -len(DEAD_LETTER_SUFFIX)] if queue.endswith(DEAD_LETTER_SUFFIX) else queue
    return _GRAMMAR.match(owner) is not None and not owner.endswith(DEAD_LETTER_SUFFIX)


def shard_of(queue: str, index: int) -> str:
    """The name of a queue's shard: the first is the queue itself, the others are queues of their own, `NAME:INDEX`."""
    if index == 0:
        return queue
    is_dead = queue.endswith(DEAD_LETTER_SUFFIX)
    owner = queue[: -len(DEAD_LETTER_SUFFIX)] if is_dead else queue
    return f"{owner}:{index}" + (DEAD_LETTER_SUFFIX if is_dead else "")


def whole_of(queue: str) -> str:
    """The name of the queue that a shard belongs to; that of any other queue as it is."""
    name, colon, rest = queue.partition(":")
    return name + (DEAD_LETTER_SUFFIX if rest.endswith(DEAD_LETTER_SUFFIX) else "") if colon else queue


class QueueKeys:
    """The names of one queue's keys, or of those of a shard of it.

    Raises:
        ConfigurationError: the name is not `[A-Za-z0-9._-]{1,128}` (a suffix `_dlq` not counted).
    """

    def __init__(self, queue: str) -> None:
        if not isinstance(queue, str):
            raise ConfigurationError(f"a queue name is a text, not {type(queue).__name__}")
        self.queue = queue
        self.is_dead_letter_queue = queue.endswith(DEAD_LETTER_SUFFIX)
        owner = queue[: -len(DEAD_LETTER_SUFFIX)] if self.is_dead_letter_queue else queue
        if not is_name(queue):
            raise ConfigurationError(
                f"bad queue name {queue!r}: use 1 to 128 of A-Z a-z 0-9 . _ - "
                f"(and at most one ending {DEAD_LETTER_SUFFIX}, which names a dead-letter queue)"
            )
        self.owner = owner
        base = f"bizzmq:{{{owner}}}:" + ("dlq:" if self.is_dead_letter_queue else "")
        self.base = base
        self.meta = base + "meta"
        """HASH  the queue's options, its creation time and the layout version."""
        self.messages = base + "messages"
        """HASH  id -> envelope, immutable after publish."""
        self.attempts = base + "attempts"
        """HASH  id -> "retries crashes requeues priority"; absent means all zero."""
        self.waiting = base + "waiting"
        """LIST  ids of default priority; the head is the right end."""
        self.prioritized = base + "prioritized"
        """ZSET  ids of another priority; a score is its negative, with a fraction that keeps the order of waiting."""
        self.delayed = base + "delayed"
        """ZSET  id -> due time, milliseconds by Redis's clock."""
        self.parked = base + "parked"
        """LIST  dead letters that their own handler could not handle; newest on the left."""
        self.supervisors = base + "supervisors"
        """HASH  supervisor id -> beat counter."""
        self.workers = base + "workers"
        """HASH  worker id -> supervisor id; without it a worker can neither claim nor settle."""
        self.releases = base + "releases"
        """HASH  worker id -> number of its last executed release; ends with its registration."""
        self.wake = base + "wake"
        """ZSET  one marker while there is something to claim; idle workers block on it."""
        self.stats = base + "stats"
        """HASH  totals: published, acked, retried, requeued, ..."""

    def processing(self, worker: str) -> str:
        """LIST  ids that this worker holds; the oldest is the right end."""
        return f"{self.base}processing:{worker}"

    def publisher(self, nonce: str) -> str:
        """STRING  number of this publisher's last executed request; expires by itself."""
        return f"{self.base}publisher:{nonce}"

    def dead_letters(self) -> QueueKeys:
        """The keys of this queue's dead-letter queue; its own if it is one itself."""
        return self if self.is_dead_letter_queue else QueueKeys(self.queue + DEAD_LETTER_SUFFIX)
