"""The lease: a supervisor's heartbeats, and the reaping of supervisors whose heartbeats have stopped.

It is an observer lease: a heartbeat is a counter, not a timestamp. A supervisor is reaped only after the reaper has
watched its counter stand still for the whole lease, on the reaper's own monotonic clock and with Redis reachable all
the time, and the script compares the counter once more. So neither a wall clock, nor an outage of Redis, nor a second
reaper can make a living supervisor lose its messages.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Callable, Collection, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.connection.retry import QUOTE_LIMIT, Outage
from bizzmq.consumer.reaper import Reaper
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, BrokerUnavailableError, QueueNotFoundError
from bizzmq.protocol.keys import logical_queue
from bizzmq.protocol.pool_report import PoolReport
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.validation import checks

_logger = logging.getLogger("bizzmq.lease")
_REPORT_S, _REPORT_LEASES = 600.0, 10
"""How long a report outlives its pool: it says what a silent one did last."""
QUEUE_GONE = "the queue is gone, Redis has lost its data"


@dataclass(frozen=True)
class LeaseOptions:
    """The times of a lease, seconds.

    Args:
        beat_s: between two heartbeats.
        lease_s: without a heartbeat, until a supervisor is reaped.
        scan_s: between two scans for silent supervisors; 0 scans at every tick.

    Raises:
        ConfigurationError: a time is invalid.
    """

    beat_s: float = 3.0
    lease_s: float = 15.0
    scan_s: float = 5.0

    def __post_init__(self) -> None:
        checks.set_checked(self, "beat_s", checks.seconds, above=True)
        checks.set_checked(self, "lease_s", checks.seconds, above=True)
        checks.set_checked(self, "scan_s", checks.seconds)


class Lease:
    """Keeps the lease of one supervisor on its queues, and reaps other supervisors there.

    `tick` returns when it must be called again. Trouble with one queue is logged once and does not stop the work on the
    others. When the queue works again, the supervisor's living workers are registered there, too.

    Args:
        create: creates a queue, with this number of shards, that has vanished with Redis's data; None only logs it.
        living_workers: the supervisor's workers that run or are being started. The registration of any other worker
            is ended if it is still there at the next scan. A delayed request can leave one after its worker's end.
        before_queue: called before the work on each queue, which can take as long as a reply of Redis.
        on_scan: called with each queue at each scan.
        on_heartbeat: called with each queue after each heartbeat, and with whether it has schedules.
        report: what the supervisor's pool does for a queue or shard, which is stored with each heartbeat; None
            stores nothing.
    """

    def __init__(
        self,
        broker: Broker,
        supervisor: str,
        queues: Sequence[str],
        options: LeaseOptions = LeaseOptions(),
        now_s: clock.Monotonic = clock.monotonic,
        *,
        create: Callable[[str, int], None] | None = None,
        living_workers: Callable[[], Collection[str]] | None = None,
        before_queue: Callable[[], None] = lambda: None,
        on_scan: Callable[[str], None] = lambda _queue: None,
        on_heartbeat: Callable[[str, bool], None] = lambda _queue, _has_schedules: None,
        report: Callable[[str], PoolReport] | None = None,
    ) -> None:
        self._broker = broker
        self._supervisor = supervisor
        self._queues = tuple(queues)
        self._shards: dict[str, list[str]] = {}
        self._options = options
        self._now_s = now_s
        self._create = create
        self._living_workers = living_workers
        self._before_queue = before_queue
        self._on_scan = on_scan
        self._on_heartbeat = on_heartbeat
        self._report = report
        self._report_ms = max(_REPORT_S, _REPORT_LEASES * options.lease_s) * 1000
        self._set_aside: dict[str, dict[str, str]] = {}  # by queue and action: the error text
        self._outages: dict[str, Outage] = {}
        self._unregistered: dict[str, set[str]] = {}  # by queue: workers to register once it works
        self._ticked_s = self._next_heartbeat_s = now_s()
        self._next_scan_s = now_s() + options.scan_s * random.random()
        self._reaper = Reaper(
            broker, supervisor, beat_s=options.beat_s, lease_s=options.lease_s, scan_s=options.scan_s, now_s=now_s,
            living_workers=living_workers,
        )  # fmt: skip

    def register(self, worker: str = "") -> list[str]:
        """Register the supervisor, and one of its workers, on all queues.

        Returns the queues that have trouble of their own. The worker is registered there as soon as they work.

        Raises:
            QueueNotFoundError: a queue does not exist; on the queues before it the worker is registered.
            QUEUE_TROUBLE: every queue has trouble of its own.
        """
        failures: dict[str, BizzMQError] = {}
        for queue in self._queues:
            try:
                self._register_on(queue, [worker])
            except QueueNotFoundError:
                raise
            except QUEUE_TROUBLE as error:
                self.set_aside(queue, error, "register")
                failures[queue] = error
        if len(failures) == len(self._queues):
            raise failures[self._queues[-1]]
        for queue in failures:
            self._unregistered.setdefault(queue, set()).add(worker)
        return list(failures)

    def _register_on(self, queue: str, workers: Collection[str]) -> None:
        shards = self._broker.shards(queue)  # each time: the queue may have been created again
        for name in shards:
            for worker in workers:
                self._broker.register(name, self._supervisor, worker)
        self._shards[queue] = shards

    def _register_late(self, queue: str) -> None:
        """Register the living workers on a queue that did not work before."""
        late = self._unregistered.get(queue, set())
        if self._living_workers is not None:
            late = {"", *(late & set(self._living_workers()))}
        self._register_on(queue, late)
        self._unregistered.pop(queue, None)
        self.works_again(queue, "register")

    @property
    def aside(self) -> dict[str, str]:
        """The trouble of each queue or shard that is set aside."""
        return {queue: next(iter(troubles.values())) for queue, troubles in self._set_aside.items()}

    def set_aside(self, queue: str, error: BizzMQError, what: str = "scan") -> float:
        """Note the trouble of a queue; returns the seconds until the next try."""
        self._set_aside.setdefault(queue, {})[what] = str(error)[:QUOTE_LIMIT]
        return self._outages.setdefault(queue, Outage(_logger, self._supervisor, queue=queue)).failed(error)

    def works_again(self, queue: str, what: str) -> None:
        """Note that an action on a queue has succeeded. Without further trouble the queue is no longer set aside."""
        troubles = self._set_aside.get(queue)
        if troubles is None or troubles.pop(what, None) is None or troubles:
            return
        del self._set_aside[queue]
        self._outages[queue].over()

    def shards_of(self, queue: str) -> Sequence[str]:
        """The shards of a queue on which the supervisor was last registered; the queue itself if it is not sharded."""
        return self._shards.get(queue) or [queue]

    def count_supervisors(self, queue: str) -> int:
        """How many supervisors are on a queue or shard, as the last scan has found them."""
        return self._reaper.count(queue) + 1

    def tick(self) -> float:
        """Send heartbeats and scan if they are due; returns the seconds until the next call is due."""
        now_s = self._now_s()
        if now_s - self._ticked_s > self._options.lease_s / 2:
            self._reaper.forget()  # this process was suspended, and did not watch during that time
        self._ticked_s = now_s
        failure: BrokerUnavailableError | None = None
        if now_s >= self._next_heartbeat_s:
            failure = self._on_each("heartbeat", self._heartbeat)
            if failure is None:
                self._next_heartbeat_s = now_s + self._options.beat_s
        if now_s >= self._next_scan_s:
            missed = self._on_each("scan", self._scan)
            if missed is None:  # else again at once: a tick without a request would count as the end of the outage
                self._next_scan_s = self._reaper.due_s(now_s)
            failure = missed or failure
        if failure is not None:
            raise failure
        return max(0.0, min(self._next_heartbeat_s, self._next_scan_s) - self._now_s())

    def unregister(self) -> None:
        """Unregister the supervisor on its queues. On a queue with trouble, its registration ends with its lease."""
        for queue in self._shard_names():
            try:
                self._broker.unregister(queue, self._supervisor)
            except QUEUE_TROUBLE as error:
                self.set_aside(queue, error, "unregister")

    def _shard_names(self) -> list[str]:
        return [shard for queue in self._queues for shard in self.shards_of(queue)]

    def _on_each(self, what: str, action: Callable[[str], None]) -> BrokerUnavailableError | None:
        """Execute an action on each queue. If one of several servers is away, the queues on the others still get it.

        Returns the error of the last queue that was unavailable, if any was.
        """
        failure: BrokerUnavailableError | None = None
        for queue in self._shard_names():
            try:
                self._before_queue()
                if queue in self._unregistered:
                    self._register_late(queue)
                action(queue)
            except QUEUE_TROUBLE as error:
                self.set_aside(queue, error, what)
                self._reaper.forget(queue)
            except BrokerUnavailableError as error:
                failure = error
                if not self._broker.connection.spans_nodes:
                    self._reaper.forget()
                    break
                self._reaper.forget(queue)
            else:
                self.works_again(queue, what)
        return failure

    def _scan(self, queue: str) -> None:
        self._on_scan(queue)
        self._reaper.scan(queue)

    def _heartbeat(self, queue: str) -> None:
        counter, has_schedules = self._broker.heartbeat(queue, self._supervisor)
        if counter:
            self._on_heartbeat(queue, has_schedules)
            if self._report is not None:
                self._broker.report(queue, self._supervisor, self._report(queue).encode(), round(self._report_ms))
            return
        log(_logger, logging.WARNING, "this supervisor was not registered any more, registering anew",
            queue=queue, supervisor=self._supervisor)  # fmt: skip
        try:
            self._broker.register(queue, self._supervisor)
        except QueueNotFoundError:
            log(_logger, logging.ERROR, QUEUE_GONE, queue=queue)
            if self._create is not None:
                logical = logical_queue(queue)
                self._create(logical, len(self.shards_of(logical)))
                self._broker.register(queue, self._supervisor)
