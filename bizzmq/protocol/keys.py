"""Names of keys. All keys of a queue and its dead-letter queue share a hash tag, and so a cluster slot."""

from __future__ import annotations

import re

from bizzmq.errors import ConfigurationError

DEAD_LETTER_SUFFIX = "_dlq"
INDEX = "bizzmq:queues"
"""SET  the names of all queues that were created by name. Their meta says whether they have a dead-letter queue."""

ACTS = "bizzmq:acts"
"""STREAM  what people have done on dashboards, about 10,000 entries: see bizzmq/control/acts.py."""

PROBE = "bizzmq:{bizzmq-doctor}:"
"""The prefix of keys for which the doctor checks permissions. It never writes them."""

_GRAMMAR = re.compile(r"[A-Za-z0-9._-]{1,128}(:[1-9][0-9]{0,2})?\Z")
_NAME = re.compile(r"bizzmq:\{([^}]+)\}:(dlq:)?([a-z]+)")
_TYPES = {
    "meta": "hash", "messages": "hash", "attempts": "hash", "waiting": "list", "prioritized": "zset",
    "delayed": "zset", "parked": "list", "processing": "list", "supervisors": "hash", "workers": "hash",
    "releases": "hash", "wake": "zset", "stats": "hash", "publisher": "string",
    "result": "string", "extras": "hash", "unique": "hash", "checkpoints": "hash", "progress": "hash",
    "history": "hash", "cancels": "hash", "output": "hash", "profiles": "hash", "schedules": "hash", "due": "zset",
    "fires": "hash", "pool": "string", "metrics": "hash", "rates": "hash", "requests": "hash", "answer": "string",
    "throttles": "zset", "throttled": "hash", "pauses": "hash", "suspended": "zset", "alerts": "hash",
    "reply": "string",
}  # fmt: skip


def type_of(key: str) -> str:
    """The type that a key of BizzMQ should have, as Redis's TYPE calls it; "" for other keys."""
    if key in (INDEX, ACTS):
        return "set" if key == INDEX else "stream"
    found = _NAME.match(key)
    return _TYPES.get(found[3], "") if found else ""


def queue_of(key: str) -> str:
    """The name of the queue that a key belongs to; "" if there is none."""
    found = _NAME.match(key)
    return found[1] + (DEAD_LETTER_SUFFIX if found[2] else "") if found else ""


def is_dead_letter_queue(queue: str) -> bool:
    """Whether this is the name of a dead-letter queue."""
    return queue.endswith(DEAD_LETTER_SUFFIX)


def owner_of(queue: str) -> str:
    """The name of the queue that a dead-letter queue belongs to; the name of any other queue unchanged."""
    return queue[: -len(DEAD_LETTER_SUFFIX)] if queue.endswith(DEAD_LETTER_SUFFIX) else queue


def is_name(queue: str) -> bool:
    """Whether this is a valid name of a queue."""
    owner = owner_of(queue)
    return _GRAMMAR.match(owner) is not None and not is_dead_letter_queue(owner)


def shard_of(queue: str, index: int) -> str:
    """The name of a queue's shard: the queue itself for index 0, else `NAME:INDEX`, which is a queue of its own."""
    if index == 0:
        return queue
    return f"{owner_of(queue)}:{index}" + (DEAD_LETTER_SUFFIX if is_dead_letter_queue(queue) else "")


def logical_queue(queue: str) -> str:
    """The name of the queue that a shard belongs to; the name of any other queue unchanged."""
    name, colon, _ = queue.partition(":")
    return name + (DEAD_LETTER_SUFFIX if is_dead_letter_queue(queue) else "") if colon else queue


class QueueKeys:
    """The names of the keys of one queue or shard.

    Attributes:
        queue: the name of the queue or shard.
        owner: the queue that a dead-letter queue belongs to; for any other queue, itself.
        base: the prefix of all keys.

    Raises:
        ConfigurationError: the name is not `[A-Za-z0-9._-]{1,128}`, not counting a suffix `_dlq`.
    """

    def __init__(self, queue: str) -> None:
        if not isinstance(queue, str):
            raise ConfigurationError(f"a queue name must be a text, not {type(queue).__name__}")
        self.queue = queue
        self.is_dead_letter_queue = is_dead_letter_queue(queue)
        owner = owner_of(queue)
        if not is_name(queue):
            raise ConfigurationError(
                f"bad queue name {queue!r}: use 1 to 128 of A-Z a-z 0-9 . _ - "
                f"(and at most one suffix {DEAD_LETTER_SUFFIX}, which names a dead-letter queue)"
            )
        self.owner = owner
        base = f"bizzmq:{{{owner}}}:" + ("dlq:" if self.is_dead_letter_queue else "")
        self.base = base
        self.meta = base + "meta"
        """HASH  the queue's options, its creation time and the layout version."""
        self.messages = base + "messages"
        """HASH  id -> envelope, which never changes."""
        self.attempts = base + "attempts"
        """HASH  id -> "retries crashes requeues priority"; a missing id means that all are 0."""
        self.waiting = base + "waiting"
        """LIST  ids of default priority; the head is the right end."""
        self.prioritized = base + "prioritized"
        """ZSET  ids of other priorities; the score is the negative priority plus a fraction that keeps the order."""
        self.delayed = base + "delayed"
        """ZSET  id -> due time, milliseconds by Redis's clock."""
        self.suspended = base + "suspended"
        """ZSET  ids that are put aside because their task or key is paused; the scores keep their order."""
        self.parked = base + "parked"
        """LIST  dead letters that the dead-letter queue's own handler could not handle; the newest is the left end."""
        self.supervisors = base + "supervisors"
        """HASH  supervisor id -> beat counter."""
        self.workers = base + "workers"
        """HASH  worker id -> supervisor id; a worker that is missing here can neither claim nor settle."""
        self.releases = base + "releases"
        """HASH  worker id -> number of its last executed release; removed with the registration."""
        self.wake = base + "wake"
        """ZSET  one marker while there is a message to claim; idle workers block on it."""
        self.stats = base + "stats"
        """HASH  totals: published, acked, retried, requeued, ..."""
        self._name_shared(f"bizzmq:{{{owner}}}:")

    def _name_shared(self, base: str) -> None:
        """Name the keys that a queue and its dead-letter queue share."""
        self.extras = base + "extras"
        """HASH  id -> JSON: a message that has something beside it; shared with the dead-letter queue, as the next."""
        self.unique = base + "unique"
        """HASH  unique key -> id of the message that has it."""
        self.checkpoints = base + "checkpoints"
        """HASH  id -> the last checkpoint of a message."""
        self.progress = base + "progress"
        """HASH  id -> the last progress of a message."""
        self.history = base + "history"
        """HASH  id -> what has happened to a message."""
        self.cancels = base + "cancels"
        """HASH  id -> a request to cancel a message that a worker holds."""
        self.pauses = base + "pauses"
        """HASH  name of a pause -> who has paused, since when, until when and why, JSON."""
        self.beside = [
            self.extras, self.unique, self.checkpoints, self.progress, self.history, self.cancels, self.output,
            self.profiles,
        ]  # fmt: skip
        self.schedules, self.due, self.fires = base + "schedules", base + "due", base + "fires"
        """HASH  name of a schedule -> definition: a line of JSON, and the envelope of its messages.

        ZSET  name of a schedule -> when it fires next, milliseconds by Redis's clock; +inf for never.
        HASH  name of a schedule -> "due at id fired skipped" of its last fire, and the record of its pause.
        """

    @property
    def output(self) -> str:
        """HASH  id -> what the last failed attempt of a message has written; shared with the dead-letter queue."""
        return f"bizzmq:{{{self.owner}}}:output"

    @property
    def profiles(self) -> str:
        """HASH  id -> samples of what a slow message executed, of 64 messages; shared with the dead-letter queue."""
        return f"bizzmq:{{{self.owner}}}:profiles"

    @property
    def metrics(self) -> str:
        """HASH  the history of the queue: chunks of steps, and reports of pools; expires when no pool reports."""
        return self.base + "metrics"

    @property
    def alerts(self) -> str:
        """HASH  kind of an alert -> whether it is sent, and by which watcher; only while it holds."""
        return f"bizzmq:{{{self.owner}}}:alerts"

    @property
    def throttles(self) -> str:
        """ZSET  throttled key -> until when it is throttled, in ms; expires with the last one."""
        return f"bizzmq:{{{self.owner}}}:throttles"

    @property
    def throttled(self) -> str:
        """HASH  throttled key -> id of the message that was published last with it; expires as `throttles`."""
        return f"bizzmq:{{{self.owner}}}:throttled"

    def processing(self, worker: str) -> str:
        """LIST  ids that this worker has claimed; the oldest is the right end."""
        return f"{self.base}processing:{worker}"

    def publisher(self, nonce: str) -> str:
        """STRING  number of this publisher's last executed request; expires after a while."""
        return f"{self.base}publisher:{nonce}"

    def reply(self, nonce: str) -> str:
        """STRING  the last call of an operator's request, and the reply to it; expires after a while."""
        return f"{self.base}reply:{nonce}"

    def pool(self, supervisor: str) -> str:
        """STRING  what the supervisor's pool does, with the time of the report; expires."""
        return f"{self.base}pool:{supervisor}"

    @property
    def requests(self) -> str:
        """HASH  id -> a request to a pool: when it expires in ms, supervisor id, JSON; at most 64, and it expires."""
        return self.base + "requests"

    def answer(self, request_id: str) -> str:
        """STRING  the answer to a request that a pool has taken, empty until it answers; expires."""
        return f"{self.base}answer:{request_id}"

    def result(self, message_id: str) -> str:
        """STRING  what has become of a message whose result is kept; expires after that time. Also a channel's name."""
        return f"{self.base}result:{message_id}"

    def dead_letters(self) -> QueueKeys:
        """The keys of this queue's dead-letter queue; for a dead-letter queue, its own keys."""
        return self if self.is_dead_letter_queue else QueueKeys(self.queue + DEAD_LETTER_SUFFIX)
