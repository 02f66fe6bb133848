"""The contents of a queue and the outcome of a script, as values."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Tuple

Ids = Tuple[str, ...]
UNTRIED = "0 0 0 0"
LEASE_LOST = "lease lost"
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


class Queue(NamedTuple):
    """A queue and the list of its dead letters. Lists are in the order of handling.

    `due` and `delayed` are the two parts of the delayed set: due now, and due later. Pairs are
    sorted and hold no empty lists, so that equal queues are equal values. `request` is the publisher's last number,
    `releases` are those of workers. `registrations` is how many supervisors have been registered.
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
        return [*self.waiting, *self.prioritized, *self.due, *self.delayed, *self.dead, *held]

    def with_held(self, worker: str, ids: Iterable[str]) -> Queue:
        return self._replace(processing=changed(self.processing, {worker: tuple(ids)}))

    def with_counts(self, counts: Mapping[str, str]) -> Queue:
        """Set attempts; "" removes them."""
        return self._replace(attempts=changed(self.attempts, counts))

    def without(self, worker: str, message_id: str) -> Queue:
        """The queue after the worker has lost this message."""
        return self.with_held(worker, [held for held in self.held(worker) if held != message_id])

    def without_messages(self, ids: Iterable[str]) -> Queue:
        return self.with_counts(dict.fromkeys(ids, "")) if self.attempts else self

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
    """Outcome of a script: the queue after it, its reply, its totals and markers."""

    queue: Queue
    reply: Any
    stats: Tuple[Tuple[str, int], ...] = ()
    wake: bool = False
    dead_wake: bool = False


def changed(pairs: Tuple[Tuple[str, Any], ...], news: Mapping[str, Any]) -> Tuple[Tuple[str, Any], ...]:
    """The pairs with new values. An empty value removes its pair."""
    merged = {**dict(pairs), **news}
    return tuple(sorted((name, value) for name, value in merged.items() if value))


def totals(**counted: int) -> Tuple[Tuple[str, int], ...]:
    """Counted totals without zeros."""
    return changed((), counted)
