"""The contents of a queue and the outcome of a script, as values."""

from __future__ import annotations

from typing import Any, Collection, Iterable, Mapping, NamedTuple, Tuple

Ids = Tuple[str, ...]
UNTRIED = "0 0 0 0"
WAITING = ("waiting", "prioritized", "due", "delayed")
LEASE_LOST = "lease lost"
KEY_IN_USE = "another message has the unique key"
GAP = "the request before is missing"


class Request(NamedTuple):
    """One script call: its worker or supervisor, and the other arguments in the order of the script."""

    script: str
    who: str
    args: Tuple[Any, ...] = ()


class Counts(NamedTuple):
    """Decoded attempts of a message. `crash` is the record of the last crash with its tab, or ""."""

    retries: int
    crashes: int
    requeues: int
    priority: int
    crash: str = ""

    @classmethod
    def of(cls, stored: str) -> Counts:
        numbers, tab, crash = stored.partition("\t")
        retries, crashes, requeues, priority = map(int, numbers.split())
        return cls(retries, crashes, requeues, priority, tab + crash)

    @property
    def delivery(self) -> int:
        """Number of the current or next delivery with these counts, from 1."""
        return 1 + self.retries + self.crashes + self.requeues

    def encode(self) -> str:
        return f"{self.retries} {self.crashes} {self.requeues} {self.priority}{self.crash}"


class Entry(NamedTuple):
    """What the hash `extras` says of a message. `expires` is "", "later" or "past"."""

    key: str = ""
    until_started: bool = False
    expires: str = ""
    is_superseded: bool = False


class Planned(NamedTuple):
    """A schedule: its definition, when it is due, its last fire (due time, time, id of its message), and its counts.

    `pause` is the record of its pause, "" if it is not paused.
    """

    definition: bytes
    due: float
    fired_due: int = 0
    fired_at: int = 0
    last_id: str = ""
    fired: int = 0
    skipped: int = 0
    pause: str = ""


class Queue(NamedTuple):
    """A queue and the list of its dead letters. Lists are in the order of handling.

    `due` and `delayed` are the two parts of the delayed set: due now, and due later. Pairs are
    sorted and hold no empty lists, so that equal queues are equal values. `request` is the publisher's last number,
    `releases` are those of workers. `registrations` is how many supervisors have been registered.
    `extras` and `unique` are those hashes, `saved` the ids with progress and a checkpoint, `cancels` those whose
    cancel is requested. `checked` is the number of the publisher's last checked request, and what it returned.
    `suspended` are the ids that are put aside for a pause, with their scores. `pauses` has until when each holds, 0 for
    no end. `throttled` has the last message of each throttled key, and until when that holds. `last_replay` is the
    nonce of its caller, and the message. `now_ms` is the moved clock, 0 for the server's own one.
    """

    waiting: Ids = ()
    prioritized: Ids = ()
    due: Ids = ()
    delayed: Ids = ()
    dead: Ids = ()
    processing: Tuple[Tuple[str, Ids], ...] = ()
    attempts: Tuple[Tuple[str, str], ...] = ()
    workers: Tuple[Tuple[str, str], ...] = ()
    supervisors: Tuple[Tuple[str, int], ...] = ()
    request: int = 0
    releases: Tuple[Tuple[str, int], ...] = ()
    registrations: int = 0
    extras: Tuple[Tuple[str, Entry], ...] = ()
    unique: Tuple[Tuple[str, str], ...] = ()
    saved: Ids = ()
    cancels: Ids = ()
    checked: Tuple[int, Ids] = (0, ())
    suspended: Tuple[Tuple[str, int], ...] = ()
    pauses: Tuple[Tuple[str, int], ...] = ()
    throttled: Tuple[Tuple[str, Tuple[str, int]], ...] = ()
    schedules: Tuple[Tuple[str, Planned], ...] = ()
    now_ms: int = 0
    last_replay: Tuple[str, str] = ("", "")

    @property
    def aside(self) -> Ids:
        """What is put aside, oldest first."""
        return tuple(name for name, _ in self.suspended)

    def without_places(self, ids: Collection[str]) -> Queue:
        """The queue after these messages have left where they wait."""
        left: dict[str, Any] = {at: tuple(name for name in getattr(self, at) if name not in ids) for at in WAITING}
        return self._replace(suspended=tuple(pair for pair in self.suspended if pair[0] not in ids), **left)

    def held(self, worker: str) -> Ids:
        """What a worker holds, oldest first."""
        return dict(self.processing).get(worker, ())

    def counts(self, message_id: str) -> str:
        return dict(self.attempts).get(message_id, UNTRIED)

    def is_registered(self, worker: str) -> bool:
        return any(name == worker for name, _ in self.workers)

    def counter(self, supervisor: str) -> int:
        """A supervisor's beat counter, 0 if it is not registered."""
        return dict(self.supervisors).get(supervisor, 0)

    def released(self, worker: str) -> int:
        """The number of a worker's last release, 0 before the first."""
        return dict(self.releases).get(worker, 0)

    def places(self) -> list[str]:
        """Ids in all lists and sets, with repetitions."""
        held = [message_id for _, ids in self.processing for message_id in ids]
        return [*self.waiting, *self.prioritized, *self.due, *self.delayed, *self.aside, *self.dead, *held]

    def with_held(self, worker: str, ids: Iterable[str]) -> Queue:
        return self._replace(processing=changed(self.processing, {worker: tuple(ids)}))

    def with_counts(self, counts: Mapping[str, str]) -> Queue:
        """Set attempts; "" removes them."""
        return self._replace(attempts=changed(self.attempts, counts))

    def without(self, worker: str, message_id: str) -> Queue:
        """The queue after the worker has lost this message."""
        return self.with_held(worker, [held for held in self.held(worker) if held != message_id])

    def without_messages(self, ids: Iterable[str]) -> Queue:
        """The queue after these messages have ended: nothing of them is left."""
        gone = list(ids)
        queue = self.with_counts(dict.fromkeys(gone, "")) if self.attempts else self
        return queue._forgotten(gone) if self.extras and gone else queue

    def _forgotten(self, gone: list[str]) -> Queue:
        return self.without_keys(gone)._replace(
            extras=tuple((name, entry) for name, entry in self.extras if name not in gone),
            saved=tuple(name for name in self.saved if name not in gone),
            cancels=tuple(name for name in self.cancels if name not in gone),
        )

    def without_keys(self, ids: Iterable[str]) -> Queue:
        """The queue after these messages have given up their unique keys."""
        freed = {(self.entry(name).key, name) for name in ids}
        return self._replace(unique=tuple(pair for pair in self.unique if pair not in freed))

    def dead_lettered(self, message_id: str) -> Queue:
        """The queue after a message has become a dead letter, whose key is free."""
        queue = self.with_counts({message_id: ""}) if self.attempts else self
        return queue.without_keys([message_id])._replace(dead=(*self.dead, message_id))

    def entry(self, message_id: str) -> Entry:
        return dict(self.extras).get(message_id, Entry())

    def with_entry(self, message_id: str, entry: Entry) -> Queue:
        return self._replace(extras=tuple(sorted({**dict(self.extras), message_id: entry}.items())))

    def is_own(self, message_id: str) -> bool:
        """Whether the queue has the message; its dead letters do not count."""
        return message_id in self.places() and message_id not in self.dead

    def enqueued(self, ids: Iterable[str], *, at_head: bool = False) -> Queue:
        """The queue with these ids before all others of their priority, or behind them."""
        new = list(ids)
        ranked = [message_id for message_id in new if self.rank(message_id)] if self.attempts else []
        plain = [message_id for message_id in new if message_id not in ranked]
        waiting = (*plain, *self.waiting) if at_head else (*self.waiting, *plain)
        if not ranked:
            return self._replace(waiting=waiting)
        both = (*ranked, *self.prioritized) if at_head else (*self.prioritized, *ranked)
        return self._replace(waiting=waiting, prioritized=tuple(sorted(both, key=self.rank)))

    def rank(self, message_id: str) -> int:
        """Sort key by priority. Messages of one priority keep the order in which they became waiting."""
        return -Counts.of(self.counts(message_id)).priority


class Outcome(NamedTuple):
    """Outcome of a script: the queue after it, its reply, its totals and markers; `dead_` for the dead-letter queue."""

    queue: Queue
    reply: Any
    stats: Tuple[Tuple[str, int], ...] = ()
    wake: bool = False
    dead_wake: bool = False
    dead_stats: Tuple[Tuple[str, int], ...] = ()


def changed(pairs: Tuple[Tuple[str, Any], ...], news: Mapping[str, Any]) -> Tuple[Tuple[str, Any], ...]:
    """The pairs with new values. An empty value removes its pair."""
    merged = {**dict(pairs), **news}
    return tuple(sorted((name, value) for name, value in merged.items() if value))


def totals(**counted: int) -> Tuple[Tuple[str, int], ...]:
    """Counted totals without zeros."""
    return changed((), counted)
