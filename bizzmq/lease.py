"""The lease: a supervisor's beats, and the reaping of supervisors whose beats have stopped.

An observer lease. A beat is a counter, not a timestamp. Whoever reaps has watched the counter stand
still for the whole lease on its own monotonic clock, with Redis reachable all that time, and the script
compares the counter once more. So no wall clock, no outage of Redis and no second reaper can make a
living supervisor lose its messages.
"""

from __future__ import annotations

import logging
import random
import secrets
from dataclasses import dataclass
from typing import Callable, Collection, Sequence

from bizzmq import clock
from bizzmq.broker import Broker
from bizzmq.errors import BrokerUnavailableError, QueueNotFoundError
from bizzmq.logs import log
from bizzmq.registry import Death

_logger = logging.getLogger("bizzmq.lease")


@dataclass(frozen=True)
class LeaseOptions:
    """Seconds between beats, until a silent supervisor is reaped, and between two looks for one."""

    beat_s: float = 3.0
    lease_s: float = 15.0
    scan_s: float = 5.0


@dataclass
class _Watched:
    counter: str
    since_s: float


class LeaseKeeper:
    """Beats for one supervisor on its queues, and reaps others there. Call `tick` when it says so.

    Args:
        create: what to do about a queue that has vanished, with all of Redis's data; None only reports it.
        living: the supervisor's workers that live or are being started. A registration of any other one, such as
            a request leaves that executes after its worker's end, is ended when two scans have seen it.
    """

    def __init__(
        self,
        broker: Broker,
        supervisor: str,
        queues: Sequence[str],
        options: LeaseOptions = LeaseOptions(),
        now_s: clock.Monotonic = clock.monotonic,
        create: Callable[[str], None] | None = None,
        living: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._broker = broker
        self._supervisor = supervisor
        self._queues = tuple(queues)
        self._options = options
        self._now_s = now_s
        self._create = create
        self._living = living
        self._unknown: set[tuple[str, str]] = set()
        self._ticked_s = self._next_beat_s = now_s()
        self._next_scan_s = now_s() + options.scan_s * random.random()
        self._watched: dict[tuple[str, str], _Watched] = {}

    def register(self, worker: str = "") -> None:
        """Register the supervisor, and a worker of it, on all queues. Raises QueueNotFoundError."""
        for queue in self._queues:
            self._broker.register(queue, self._supervisor, secrets.randbelow(2**40), worker)

    def tick(self) -> float:
        """Beat and scan if it is time to; returns the seconds until the next call is due."""
        now_s = self._now_s()
        if now_s - self._ticked_s > self._options.lease_s / 2:
            self._watched.clear()  # this process was suspended: it has not watched meanwhile
        self._ticked_s = now_s
        try:
            if now_s >= self._next_beat_s:
                self._beat()
                self._next_beat_s = now_s + self._options.beat_s
            if now_s >= self._next_scan_s:
                self._scan()
                self._next_scan_s = now_s + self._options.scan_s * (0.75 + random.random() / 2)
        except BrokerUnavailableError:
            self._watched.clear()  # who could not be watched all the time has not been watched at all
            raise
        return max(0.0, min(self._next_beat_s, self._next_scan_s) - self._now_s())

    def leave(self) -> None:
        """Strike the supervisor off its queues."""
        for queue in self._queues:
            self._broker.evict(queue, self._supervisor)

    def _beat(self) -> None:
        for queue in self._queues:
            if self._broker.beat(queue, self._supervisor):
                continue
            log(_logger, logging.WARNING, "this supervisor was not registered any more, registering anew",
                queue=queue, supervisor=self._supervisor)  # fmt: skip
            try:
                self._broker.register(queue, self._supervisor, secrets.randbelow(2**40))
            except QueueNotFoundError:
                log(_logger, logging.ERROR, "the queue is gone, Redis has lost its data", queue=queue)
                if self._create is not None:
                    self._create(queue)
                    self._broker.register(queue, self._supervisor, secrets.randbelow(2**40))

    def _scan(self) -> None:
        now_s = self._now_s()
        seen: set[tuple[str, str]] = set()
        for queue in self._queues:
            counters = self._broker.supervisors(queue)
            workers = self._broker.workers(queue)
            self._end_unknown(queue, workers)
            for supervisor in {*counters, *workers.values()} - {self._supervisor}:
                counter = counters.get(supervisor, "")  # workers without a supervisor are watched, too
                key = (queue, supervisor)
                seen.add(key)
                watched = self._watched.get(key)
                if watched is None or watched.counter != counter:
                    self._watched[key] = _Watched(counter, now_s)
                elif now_s - watched.since_s >= self._options.lease_s:
                    self._reap(queue, supervisor, counter, workers)
        self._watched = {key: value for key, value in self._watched.items() if key in seen}

    def _end_unknown(self, queue: str, workers: dict[str, str]) -> None:
        if self._living is None:
            return
        living = self._living()
        unknown = {worker for worker, owner in workers.items() if owner == self._supervisor and worker not in living}
        for worker in unknown:
            if (queue, worker) in self._unknown:
                self._broker.requeue(queue, worker, Death("silent"))
        self._unknown = {key for key in self._unknown if key[0] != queue} | {(queue, worker) for worker in unknown}

    def _reap(self, queue: str, supervisor: str, counter: str, workers: dict[str, str]) -> None:
        death = Death("silent", supervisor=supervisor, counter=counter)
        requeued = 0
        for worker, owner in workers.items():
            if owner != supervisor:
                continue
            result = self._broker.requeue(queue, worker, death)
            if result is not None:
                requeued += result.requeued
        # Without a counter there was no registration to end, and one that came back just now must stay.
        evicted = bool(counter) and self._broker.evict(queue, supervisor, counter)
        if not (evicted or requeued):
            return  # it lives, or somebody else was first
        log(_logger, logging.WARNING, "a silent supervisor was reaped", queue=queue, supervisor=supervisor,
            requeued=requeued)  # fmt: skip
