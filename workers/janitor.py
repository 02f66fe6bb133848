"""The janitor: the supervisor's child that talks to Redis for it. It runs no user code.

What it is asked to do it owes until Redis has done it, however long Redis is away. Should it die, the
supervisor starts another one and repeats what is still owed; all of it is safe to repeat.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from collections import deque
from typing import Any, Callable, Mapping

from bizzmq import clock
from bizzmq.broker import Broker
from bizzmq.census import stats
from bizzmq.connections import AnyConnection
from bizzmq.errors import (
    BizzMQError,
    BrokerFullError,
    BrokerRefusesError,
    BrokerUnavailableError,
    QueueNotFoundError,
    WrongTypeError,
)
from bizzmq.keys import shard_of
from bizzmq.lease import QUEUE_GONE, LeaseKeeper, LeaseOptions
from bizzmq.logs import log
from bizzmq.outage import Outage
from bizzmq.queue import QueueOptions
from bizzmq.server_info import warn_of_eviction
from bizzmq.workers import exits, spawn
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.journal_file import server_of
from bizzmq.workers.leftovers import Leftovers
from bizzmq.workers.scoreboard import Scoreboard
from bizzmq.workers.titles import Title
from bizzmq.workers.undertaker import Undertaker
from bizzmq.workers.verdict import death_of

_logger = logging.getLogger("bizzmq.janitor")
_GAUGES_S = 1.0

Request = Mapping[str, Any]


class Janitor:
    """Creates missing queues, registers workers, beats, requeues the dead, reaps the silent."""

    def __init__(
        self, supervisor: str, connection: AnyConnection, config: WorkerConfig, scoreboard: Scoreboard, channel: Channel
    ) -> None:
        self._config = config
        self._channel = channel
        self._broker = Broker(connection)
        lease = LeaseOptions(config.beat_s, config.lease_s, config.scan_s)
        self._keeper = LeaseKeeper(
            self._broker, supervisor, config.queues, lease, create=self._create, living=self._living_workers
        )
        self._undertaker = Undertaker(config, scoreboard)
        self._leftovers = Leftovers(
            config.journal, self._broker, server_of(config.redis_url), config.queues, self._living_workers,
            config.scan_s, config.beat_s / 2,
        )  # fmt: skip
        self._outage = Outage(_logger, "janitor")
        self._owed: deque[Request] = deque()
        self._starting: set[str] = set()  # to be registered, and their pids not known yet
        self._ready = False
        self._left = False
        self._next_gauges_s = 0.0

    def main(self) -> int:
        """The whole life of the process; returns its exit code."""
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it goes when the supervisor lets it, or is gone
        spawn.unblock_signals()
        Title("janitor", os.getppid(), self._config.queues).show("at work")
        while not self._left:
            for request in self._channel.receive():
                self._accept(request)
            if self._channel.closed:
                return self._outlive()
            wait_s = self.tick()
            self._channel.send(op="alive", away=self._outage.lasts)
            if not self._left:
                self._wait(wait_s)
        return exits.DRAINED

    def tick(self) -> float:
        """Do what is due; returns the seconds until there is something to do again."""
        try:
            if not self._ready:
                for queue in self._config.queues:
                    self._create(queue, len(self._keeper.shards_of(queue)))
                self._keeper.register()
                warn_of_eviction(self._broker.connection, _logger)
                self._ready = True
                self._channel.send(op="ready")
            owing = self._despite_one_queue(self._pay)
            if not self._left:  # before others are reaped: what they had finished is known better here
                owing = self._despite_one_queue(self._leftovers.tick) or owing
            wait_s = 0.0 if self._left else self._keeper.tick()
            if owing is not None:
                raise owing
            if self._config.min_concurrency and not self._left:
                wait_s = min(wait_s, self._send_gauges())
            self._outage.over()
            return wait_s
        except (BrokerUnavailableError, BrokerFullError) as error:
            return self._outage.failed(error)
        except QueueNotFoundError as error:
            if self._ready:
                log(_logger, logging.ERROR, QUEUE_GONE, queue=error.queue)
            self._ready = False  # begin again
            return 0.1
        except BizzMQError as error:  # a wrong type, say: only an operator can mend it, so it is asked again
            return self._outage.failed(BrokerRefusesError(str(error)))

    def _pay(self) -> None:
        while self._owed:
            self._do(self._owed[0])
            self._owed.popleft()

    def _despite_one_queue(self, action: Callable[[], None]) -> BizzMQError | None:
        """Do something; the reason if it cannot all be done, but beats are still possible on other queues."""
        try:
            action()
        except BizzMQError as error:
            if not self._is_of_one_queue(error):
                raise
            return error
        return None

    def _is_of_one_queue(self, error: BizzMQError) -> bool:
        """Whether others, on another server or with sound keys, must not wait until this has been cured."""
        away = isinstance(error, BrokerUnavailableError)
        return isinstance(error, WrongTypeError) or (away and self._broker.connection.spans_nodes)

    def _send_gauges(self) -> float:
        """Tell the supervisor, once a second, what its scaling goes by; returns the seconds until the next time."""
        now_s = clock.monotonic()
        if now_s >= self._next_gauges_s:
            self._next_gauges_s = now_s + _GAUGES_S
            counts = [stats(self._broker, queue) for queue in self._config.queues]
            settled = sum(count.acked + count.retried + count.discarded for count in counts)
            self._channel.send(op="gauges", waiting=sum(count.waiting for count in counts), settled=settled)
        return self._next_gauges_s - now_s

    def _accept(self, request: Request) -> None:
        if request["op"] == "register" and request["worker"] not in self._undertaker.workers:
            self._starting.add(request["worker"])
        if request["op"] == "adopt":
            self._starting.discard(request["worker"])
            self._undertaker.adopt(request["worker"], request["pid"], request["slot"])
        elif request["op"] == "requeue":
            worker = request["worker"]
            self._undertaker.forget(worker)
            self._starting.discard(worker)
            # A registration that is still owed must not come after the end of what it registers.
            self._owed = deque(r for r in self._owed if (r["op"], r.get("worker")) != ("register", worker))
            self._owed.appendleft(request)  # before registrations: somebody may be waiting for these messages
        else:
            self._owed.append(request)

    def _living_workers(self) -> set[str]:
        owed = (request.get("worker", "") for request in self._owed)
        return {*self._undertaker.workers, *self._starting, *owed}

    def _do(self, request: Request) -> None:
        if request["op"] == "register":
            self._keeper.register(request["worker"])
            self._channel.send(op="registered", worker=request["worker"])
        elif request["op"] == "requeue":
            self._requeue(request)
        else:
            self._keeper.leave()
            self._left = True
            self._channel.send(op="left")

    def _requeue(self, request: Request) -> None:
        # First by its journal: if queues are on several servers, that knows more than the scoreboard.
        failure = self._despite_one_queue(lambda: self._leftovers.settle(request["worker"]))
        shards = [(shard, queue) for queue in self._config.queues for shard in self._keeper.shards_of(queue)]
        for shard, queue in shards:
            try:
                self._requeue_on(shard, self._addressed(request, queue, shard))
            except BizzMQError as error:
                if not self._is_of_one_queue(error):
                    raise
                failure = error
        if failure is not None:
            raise failure
        self._channel.send(op="requeued", worker=request["worker"])

    def _addressed(self, request: Request, queue: str, shard: str) -> Request:
        """What one shard of a queue is told: only the one that has the running message hears that it ran there."""
        if request["queue"] != queue or len(self._keeper.shards_of(queue)) == 1:
            return request
        envelope, _ = self._broker.stored(shard, request["running"])
        return {**request, "queue": shard if envelope is not None else ""}

    def _requeue_on(self, queue: str, request: Request) -> None:
        worker = request["worker"]
        death = death_of(self._broker, queue, request, self._config.max_crashes)
        done = self._broker.requeue(queue, worker, death)
        if done is None:
            return
        if done.quarantined:
            log(_logger, logging.ERROR, "message quarantined, it has killed its workers", queue=queue,
                id=done.quarantined, crashes=done.crashes, reason=request["reason"])  # fmt: skip
        if done.requeued or done.acked:
            log(_logger, logging.INFO, "messages of a worker settled", queue=queue, worker=worker,
                requeued=done.requeued, acked=done.acked)  # fmt: skip

    def _create(self, queue: str, shards: int = 1) -> None:
        if all(self._broker.exists(shard_of(queue, index)) for index in range(shards)):
            return  # and nothing is written: so a pool can start to drain a Redis that is full
        is_dead = self._broker.keys(queue).is_dead_letter_queue
        if self._broker.create(queue, QueueOptions(config_dead_letter_queue=not is_dead, shards=shards)):
            log(_logger, logging.INFO, "queue did not exist and was created", queue=queue,
                dead_letter_queue=not is_dead)  # fmt: skip

    def _wait(self, timeout_s: float) -> None:
        poller = select.poll()
        poller.register(self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._channel.unsent else 0))
        poller.poll(max(0.0, min(timeout_s, self._config.beat_s)) * 1000)
        self._channel.flush()

    def _outlive(self) -> int:
        """The supervisor is gone: keep its lease while its workers finish, settle what they leave, sign off."""
        log(_logger, logging.ERROR, "the supervisor is gone, its workers finish what they run and leave")
        give_up_s = clock.monotonic() + self._config.drain_timeout_s + 2 * self._config.lease_s
        while clock.monotonic() < give_up_s:
            for burial in self._undertaker.collect():
                self._owed.append({"op": "requeue", **burial.as_message()})
            if not self._undertaker.living:
                self._owed.append({"op": "leave"})
            wait_s = self.tick()
            if self._left:
                break
            clock.sleep(min(wait_s, 0.05))
        return exits.DRAINED
