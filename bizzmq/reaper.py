"""The reaper puts back what silent supervisors hold, after watching them for a whole lease (see `bizzmq.lease`)."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Callable, Collection, Sequence

from bizzmq import clock
from bizzmq.broker import Broker
from bizzmq.logs import log
from bizzmq.registry import Death

_logger = logging.getLogger("bizzmq.lease")
_NAMED = 5


@dataclass
class _Watched:
    counter: str
    since_s: float


class Reaper:
    """Watches the beats of other supervisors on some queues.

    Args:
        supervisor: the one that looks, whose workers are in `living`; see LeaseKeeper.
        beat_s: a scan pauses after this time, so that the supervisor's own beat is not late.
    """

    def __init__(
        self,
        broker: Broker,
        supervisor: str,
        *,
        beat_s: float,
        lease_s: float,
        scan_s: float,
        now_s: clock.Monotonic,
        living: Callable[[], Collection[str]] | None,
    ) -> None:
        self._broker = broker
        self._supervisor = supervisor
        self._beat_s, self._lease_s, self._scan_s = beat_s, lease_s, scan_s
        self._now_s = now_s
        self._living = living
        self._unknown: dict[tuple[str, str], float] = {}
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._pause_at_s = 0.0

    def forget(self, queue: str | None = None) -> None:
        """Forget what was watched, on all queues or on one: a supervisor must be watched all the time."""
        self._watched = {key: value for key, value in self._watched.items() if queue is not None and key[0] != queue}

    def due_s(self, now_s: float) -> float:
        """When to look next: before a scan's time has passed, and when the lease of a silent supervisor is over.

        So what a lost host held is put back within one lease and one scan, whenever it was lost. A tenth of a scan
        is left for the putting back.
        """
        leases_end_s = [watched.since_s + self._lease_s for watched in self._watched.values()]
        due_s = now_s + self._scan_s * (0.7 + random.random() / 5)
        return min([due_s, *(end_s for end_s in leases_end_s if end_s > now_s)])

    def scan(self, queue: str) -> None:
        """Look at all supervisors and workers of a queue, and reap those that are due."""
        now_s = self._now_s()
        counters = self._broker.supervisors(queue)
        workers = self._broker.workers(queue)
        self._pause_at_s = now_s + self._beat_s
        self._end_unknown(queue, workers, now_s)
        owned: dict[str, list[str]] = {}
        for worker, owner in workers.items():
            owned.setdefault(owner, []).append(worker)
        reaped: list[tuple[str, int]] = []
        seen: set[tuple[str, str]] = set()
        for supervisor in {*counters, *workers.values()} - {self._supervisor}:
            counter = counters.get(supervisor, "")  # workers without a supervisor are watched, too
            key = (queue, supervisor)
            seen.add(key)
            watched = self._watched.get(key)
            if watched is None or watched.counter != counter:
                self._watched[key] = _Watched(counter, now_s)
            elif now_s >= watched.since_s + self._lease_s:
                requeued = self._reap(queue, supervisor, counter, owned.get(supervisor, []))
                reaped += [] if requeued is None else [(supervisor, requeued)]
        self._watched = {key: value for key, value in self._watched.items() if key[0] != queue or key in seen}
        _say(queue, reaped)

    def _end_unknown(self, queue: str, workers: dict[str, str], now_s: float) -> None:
        """End registrations of this supervisor's workers that do not live, once they have been seen twice."""
        if self._living is None:
            return
        living = self._living()
        unknown = {worker for worker, owner in workers.items() if owner == self._supervisor and worker not in living}
        for worker in unknown:
            if self._now_s() >= self._pause_at_s:
                break  # a beat of our own is due; the next scan goes on here
            if now_s - self._unknown.get((queue, worker), now_s) >= self._scan_s / 2:
                self._broker.requeue(queue, worker, Death("silent"))
        known = {key: since_s for key, since_s in self._unknown.items() if key[0] != queue}
        self._unknown = {**known, **{(queue, name): self._unknown.get((queue, name), now_s) for name in unknown}}

    def _reap(self, queue: str, supervisor: str, counter: str, workers: Sequence[str]) -> int | None:
        """How many messages were put back; None if nothing was done: it lives, or somebody else was first."""
        death = Death("silent", supervisor=supervisor, counter=counter)
        requeued = 0
        for worker in workers:
            if self._now_s() >= self._pause_at_s:
                return requeued or None  # a beat of our own is due; the next scan goes on here
            result = self._broker.requeue(queue, worker, death)
            if result is not None:
                requeued += result.requeued
        # Without a counter there was no registration to end, and one that came back just now must stay.
        evicted = bool(counter) and self._broker.evict(queue, supervisor, counter)
        return requeued if evicted or requeued else None


def _say(queue: str, reaped: Sequence[tuple[str, int]]) -> None:
    """Name the first few; a whole site that has gone is one line more."""
    for supervisor, requeued in reaped[:_NAMED]:
        log(_logger, logging.WARNING, "a silent supervisor was reaped", queue=queue, supervisor=supervisor,
            requeued=requeued)  # fmt: skip
    if len(reaped) > _NAMED:
        log(_logger, logging.WARNING, "more silent supervisors were reaped", queue=queue,
            supervisors=len(reaped) - _NAMED, requeued=sum(requeued for _, requeued in reaped[_NAMED:]))  # fmt: skip
