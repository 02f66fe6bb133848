"""The reaper requeues the messages of silent supervisors, after it has watched them for a whole lease (see `lease`)."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Callable, Collection, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.utils import clock
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.lease")
_NAMED = 5


@dataclass
class _Watched:
    counter: str
    since_s: float


class Reaper:
    """Watches the heartbeats of other supervisors on some queues.

    Args:
        supervisor: the supervisor that this reaper works for.
        beat_s: a scan pauses after this time, so that the supervisor's own heartbeat is not late.
        living_workers: see Lease.
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
        living_workers: Callable[[], Collection[str]] | None,
    ) -> None:
        self._broker = broker
        self._supervisor = supervisor
        self._beat_s, self._lease_s, self._scan_s = beat_s, lease_s, scan_s
        self._now_s = now_s
        self._living_workers = living_workers
        self._unknown: dict[tuple[str, str], float] = {}
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._pause_at_s = 0.0

    def forget(self, queue: str | None = None) -> None:
        """Start watching again, on all queues or on one: a gap in the watching does not count as silence."""
        self._watched = {key: value for key, value in self._watched.items() if queue is not None and key[0] != queue}

    def count(self, queue: str) -> int:
        """How many other supervisors are watched on a queue."""
        return sum(watched == queue for watched, _ in self._watched)

    def due_s(self, now_s: float) -> float:
        """The time of the next scan: within `scan_s`, and at the end of a silent supervisor's lease if that is earlier.

        So the messages of a lost host are requeued within one lease and one scan, whenever it was lost. A tenth of a
        scan is left for the requeueing itself.
        """
        leases_end_s = [watched.since_s + self._lease_s for watched in self._watched.values()]
        due_s = now_s + self._scan_s * (0.7 + random.random() / 5)
        return min([due_s, *(end_s for end_s in leases_end_s if end_s > now_s)])

    def scan(self, queue: str) -> None:
        """Check all supervisors and workers of a queue, and reap the silent ones."""
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
            counter = counters.get(supervisor, "")  # a supervisor that is known only by its workers is watched, too
            key = (queue, supervisor)
            seen.add(key)
            watched = self._watched.get(key)
            if watched is None or watched.counter != counter:
                self._watched[key] = _Watched(counter, now_s)
            elif now_s >= watched.since_s + self._lease_s:
                requeued = self._reap(queue, supervisor, counter, owned.get(supervisor, []))
                reaped += [] if requeued is None else [(supervisor, requeued)]
        self._watched = {key: value for key, value in self._watched.items() if key[0] != queue or key in seen}
        _log(queue, reaped)

    def _end_unknown(self, queue: str, workers: dict[str, str], now_s: float) -> None:
        """End registrations of this supervisor's dead workers, once two scans have found them."""
        if self._living_workers is None:
            return
        living = self._living_workers()
        unknown = {worker for worker, owner in workers.items() if owner == self._supervisor and worker not in living}
        for worker in unknown:
            if self._now_s() >= self._pause_at_s:
                break  # our own heartbeat is due; the next scan continues here
            if now_s - self._unknown.get((queue, worker), now_s) >= self._scan_s / 2:
                self._broker.requeue(queue, worker, DeadWorker(DeathKind.SILENT))
        known = {key: since_s for key, since_s in self._unknown.items() if key[0] != queue}
        self._unknown = {**known, **{(queue, name): self._unknown.get((queue, name), now_s) for name in unknown}}

    def _reap(self, queue: str, supervisor: str, counter: str, workers: Sequence[str]) -> int | None:
        """The number of requeued messages; None if nothing was done, because it lives or another reaper was first."""
        dead_worker = DeadWorker(DeathKind.SILENT, supervisor=supervisor, counter=counter)
        requeued = 0
        for worker in workers:
            if self._now_s() >= self._pause_at_s:
                return requeued or None  # our own heartbeat is due; the next scan continues here
            result = self._broker.requeue(queue, worker, dead_worker)
            if result is not None:
                requeued += result.requeued
        # Without a counter there was no registration to end, and a supervisor that has just registered must stay.
        unregistered = bool(counter) and self._broker.unregister(queue, supervisor, counter)
        return requeued if unregistered or requeued else None


def _log(queue: str, reaped: Sequence[tuple[str, int]]) -> None:
    """Log the first few by name, and the others as one line: a whole site may be gone."""
    for supervisor, requeued in reaped[:_NAMED]:
        log(_logger, logging.WARNING, "a silent supervisor was reaped", queue=queue, supervisor=supervisor,
            requeued=requeued)  # fmt: skip
    if len(reaped) > _NAMED:
        log(_logger, logging.WARNING, "more silent supervisors were reaped", queue=queue,
            supervisors=len(reaped) - _NAMED, requeued=sum(requeued for _, requeued in reaped[_NAMED:]))  # fmt: skip
