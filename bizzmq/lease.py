"""The lease: a supervisor's beats, and the reaping of supervisors whose beats have stopped.

An observer lease. A beat is a counter, not a timestamp. The reaper has watched the counter
stand still for the whole lease on its own monotonic clock, with Redis reachable all that time, and the script compares
the counter once more. So no wall clock, no outage of Redis and no second reaper can make a
living supervisor lose its messages.
"""

from __future__ import annotations

import logging
import random
import secrets
from dataclasses import dataclass
from typing import Callable, Collection, Sequence

from bizzmq import checks, clock
from bizzmq.broker import Broker
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, BrokerUnavailableError, QueueNotFoundError
from bizzmq.keys import whole_of
from bizzmq.logs import log
from bizzmq.outage import TEXT_LIMIT, Outage
from bizzmq.reaper import Reaper

_logger = logging.getLogger("bizzmq.lease")
QUEUE_GONE = "the queue is gone, Redis has lost its data"


@dataclass(frozen=True)
class LeaseOptions:
    """Seconds between beats, until a silent supervisor is reaped, and between two looks for one.

    Raises:
        ConfigurationError: one is no time, or a late beat would end the lease.
    """

    beat_s: float = 3.0
    lease_s: float = 15.0
    scan_s: float = 5.0

    def __post_init__(self) -> None:
        checks.set_checked(self, "beat_s", checks.seconds, above=True)
        checks.set_checked(self, "lease_s", checks.seconds, above=True)
        checks.set_checked(self, "scan_s", checks.seconds)  # 0 looks at every tick


class LeaseKeeper:
    """Beats for one supervisor on its queues, and reaps others there. Call `tick` when it says so.

    What is wrong with one queue is said once, and keeps no other queue from its turn. Once it is mended, the workers
    that live by then are registered there, too.

    Args:
        create: what to do about a queue, of so many shards, that has vanished with Redis's data; None only reports it.
        living: the supervisor's workers that live or are being started. A registration of any other one, such as
            a request leaves that executes after its worker's end, is ended when it is still there at the next scan.
        asking: called before each queue's turn, which can last as long as Redis may take to answer.
        seen: called with each queue at each scan.
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
        living: Callable[[], Collection[str]] | None = None,
        asking: Callable[[], None] = lambda: None,
        seen: Callable[[str], None] = lambda _queue: None,
    ) -> None:
        self._broker = broker
        self._supervisor = supervisor
        self._wholes = tuple(queues)
        self._shards: dict[str, list[str]] = {}
        self._options = options
        self._now_s = now_s
        self._create = create
        self._living = living
        self._asking = asking
        self._seen = seen
        self._aside: dict[str, dict[str, str]] = {}  # by queue, and by what cannot be done there
        self._outages: dict[str, Outage] = {}
        self._unregistered: dict[str, set[str]] = {}  # by queue, workers that could not be registered there
        self._ticked_s = self._next_beat_s = now_s()
        self._next_scan_s = now_s() + options.scan_s * random.random()
        self._reaper = Reaper(
            broker, supervisor, beat_s=options.beat_s, lease_s=options.lease_s, scan_s=options.scan_s, now_s=now_s,
            living=living,
        )  # fmt: skip

    def register(self, worker: str = "") -> list[str]:
        """Register the supervisor, and a worker of it, on all queues.

        Returns the queues on which it was not possible, since something is wrong with them alone. It is done there
        as soon as they are mended.

        Raises:
            QueueNotFoundError: one does not exist; those before it have been registered on.
            QUEUE_TROUBLE: something is wrong with each of them.
        """
        failures: dict[str, BizzMQError] = {}
        for queue in self._wholes:
            try:
                self._register_on(queue, [worker])
            except QueueNotFoundError:
                raise
            except QUEUE_TROUBLE as error:
                self.set_aside(queue, error, "register")
                failures[queue] = error
        if len(failures) == len(self._wholes):
            raise failures[self._wholes[-1]]
        for queue in failures:
            self._unregistered.setdefault(queue, set()).add(worker)
        return list(failures)

    def _register_on(self, queue: str, workers: Collection[str]) -> None:
        shards = self._broker.shards(queue)  # anew: it may be another queue by now
        for name in shards:
            for worker in workers:
                self._broker.register(name, self._supervisor, secrets.randbelow(2**40), worker)
        self._shards[queue] = shards

    def _register_late(self, queue: str) -> None:
        """Register on a queue that is mended those who could not be, as far as they live."""
        late = self._unregistered.get(queue, set())
        if self._living is not None:
            late = {"", *(late & set(self._living()))}
        self._register_on(queue, late)
        self._unregistered.pop(queue, None)
        self.is_well(queue, "register")

    @property
    def aside(self) -> dict[str, str]:
        """What is wrong with each queue, or shard of one, that is set aside."""
        return {queue: next(iter(troubles.values())) for queue, troubles in self._aside.items()}

    def set_aside(self, queue: str, error: BizzMQError, what: str = "scan") -> float:
        """Note what is wrong with a queue; returns how long to let it rest, seconds."""
        self._aside.setdefault(queue, {})[what] = str(error)[:TEXT_LIMIT]
        return self._outages.setdefault(queue, Outage(_logger, self._supervisor, queue=queue)).failed(error)

    def is_well(self, queue: str, what: str) -> None:
        """Note that this can be done on a queue (again)."""
        troubles = self._aside.get(queue)
        if troubles is None or troubles.pop(what, None) is None or troubles:
            return
        del self._aside[queue]
        self._outages[queue].over()

    def shards_of(self, queue: str) -> Sequence[str]:
        """The shards of one of the queues as they were last registered on: the queue itself, if it has no others."""
        return self._shards.get(queue) or [queue]

    def tick(self) -> float:
        """Beat and scan if it is time to; returns the seconds until the next call is due."""
        now_s = self._now_s()
        if now_s - self._ticked_s > self._options.lease_s / 2:
            self._reaper.forget()  # this process was suspended: it has not watched meanwhile
        self._ticked_s = now_s
        failure: BrokerUnavailableError | None = None
        if now_s >= self._next_beat_s:
            failure = self._on_each("beat", self._beat)
            if failure is None:
                self._next_beat_s = now_s + self._options.beat_s
        if now_s >= self._next_scan_s:
            missed = self._on_each("scan", self._scan)
            if missed is None:  # else again at once: a tick that asks nothing would pass for the end of the outage
                self._next_scan_s = self._reaper.due_s(now_s)
            failure = missed or failure
        if failure is not None:
            raise failure
        return max(0.0, min(self._next_beat_s, self._next_scan_s) - self._now_s())

    def leave(self) -> None:
        """Strike the supervisor off its queues. Where something is wrong with one, its registration ends by itself."""
        for queue in self._queues():
            try:
                self._broker.evict(queue, self._supervisor)
            except QUEUE_TROUBLE as error:
                self.set_aside(queue, error, "leave")

    def _queues(self) -> list[str]:
        return [shard for queue in self._wholes for shard in self.shards_of(queue)]

    def _on_each(self, what: str, action: Callable[[str], None]) -> BrokerUnavailableError | None:
        """Do something on each queue. Where one of several servers is away, the queues on the others have their turn.

        Returns the failure of the last queue that was unavailable, if any was.
        """
        failure: BrokerUnavailableError | None = None
        for queue in self._queues():
            try:
                self._asking()
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
                self.is_well(queue, what)
        return failure

    def _scan(self, queue: str) -> None:
        self._seen(queue)
        self._reaper.scan(queue)

    def _beat(self, queue: str) -> None:
        if self._broker.beat(queue, self._supervisor):
            return
        log(_logger, logging.WARNING, "this supervisor was not registered any more, registering anew",
            queue=queue, supervisor=self._supervisor)  # fmt: skip
        try:
            self._broker.register(queue, self._supervisor, secrets.randbelow(2**40))
        except QueueNotFoundError:
            log(_logger, logging.ERROR, QUEUE_GONE, queue=queue)
            if self._create is not None:
                whole = whole_of(queue)
                self._create(whole, len(self.shards_of(whole)))
                self._broker.register(queue, self._supervisor, secrets.randbelow(2**40))
