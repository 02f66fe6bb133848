"""What the janitor owes Redis: registrations, the messages of the dead, and in the end the sign-off."""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import Any, Mapping, Sequence

from bizzmq import clock
from bizzmq.broker import Broker
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, BrokerUnavailableError, QueueNotFoundError
from bizzmq.lease import LeaseKeeper
from bizzmq.logs import log
from bizzmq.registry import Death
from bizzmq.workers.channel import Channel
from bizzmq.workers.death import FAILED, STOPPED, Burial
from bizzmq.workers.leftovers import Leftovers
from bizzmq.workers.undertaker import Undertaker
from bizzmq.workers.verdict import death_of

_logger = logging.getLogger("bizzmq.janitor")

Request = Mapping[str, Any]
_OUTCOMES = {"retry": "will be retried", "dead-letter": "dead-lettered", "discard": "discarded"}
_PATIENCE_S = 2.0
"""How long a sign-off waits for a queue that cannot be worked on; its lease returns what is held there."""


def is_of_one_queue(broker: Broker, error: BizzMQError) -> bool:
    """Whether other queues, on another server or sound themselves, must not wait until this has been cured."""
    away = isinstance(error, BrokerUnavailableError)
    if isinstance(error, QueueNotFoundError):
        return False  # it is created again, and all begins anew
    return isinstance(error, QUEUE_TROUBLE) or (away and broker.connection.spans_nodes)


class Owed:
    """Requests of the supervisor, each owed until all of it is done. All of it is safe to repeat.

    Attributes:
        left: whether the sign-off was asked for and is done.
    """

    def __init__(
        self,
        broker: Broker,
        keeper: LeaseKeeper,
        undertaker: Undertaker,
        leftovers: Leftovers,
        channel: Channel,
        queues: Sequence[str],
        max_crashes: int,
    ) -> None:
        self._broker = broker
        self._keeper = keeper
        self._undertaker = undertaker
        self._leftovers = leftovers
        self._channel = channel
        self._queues = queues
        self._max_crashes = max_crashes
        self._requests: deque[Request] = deque()
        self._starting: set[str] = set()  # to be registered, and not known as a process that lives
        self._unlooked: list[Request] = []  # started, and their processes not looked at yet
        self._leave_by_s = math.inf
        self.left = False

    def accept(self, request: Request) -> None:
        """Take a request of the supervisor."""
        if request["op"] == "register" and request["worker"] not in self._undertaker.workers:
            self._starting.add(request["worker"])
        if request["op"] == "adopt":
            self._unlooked.append(request)
            self._look_at_started()
        elif request["op"] == "recall":
            self._recall(request)
        elif request["op"] == "requeue":
            worker = request["worker"]
            self._undertaker.forget(worker)
            self._unlooked = [r for r in self._unlooked if r["worker"] != worker]
            self._starting.discard(worker)
            # A registration that is still owed must not come after the end of what it registers.
            self._requests = deque(r for r in self._requests if (r["op"], r.get("worker")) != ("register", worker))
            self._requests.appendleft(request)  # before registrations: somebody may be waiting for these messages
        else:
            self._requests.append(request)

    def _look_at_started(self) -> None:
        """Note the workers that have been started. Without a descriptor that takes until there is one."""
        for request in self._unlooked[:]:
            try:
                is_there = self._undertaker.adopt(request["worker"], request["pid"], request["slot"])
            except OSError:
                return
            self._unlooked.remove(request)
            if is_there:
                self._starting.discard(request["worker"])

    def add(self, request: Request) -> None:
        """Owe this after all else."""
        self._requests.append(request)

    def end_starting(self) -> None:
        """The supervisor is gone. Workers that it was still starting hold nothing: they work when it lets them go."""
        self._look_at_started()
        for worker in sorted(self._starting - {request["worker"] for request in self._unlooked}):
            end = Burial(worker, STOPPED, running="", last_finished="", reason="ended before it had begun to work")
            self.accept({"op": "requeue", **end.as_message()})

    def living_workers(self) -> set[str]:
        """Those that live, are about to, or whose end is not told yet."""
        owed = (request.get("worker", "") for request in self._requests)
        unlooked = (request["worker"] for request in self._unlooked)
        return {*self._undertaker.workers, *self._starting, *owed, *unlooked}

    def pay(self) -> BizzMQError | None:
        """Do all that can be done; returns why something has to wait, if that is one queue's trouble.

        Raises:
            BizzMQError: it is everybody's.
        """
        self._look_at_started()
        failure: BizzMQError | None = None
        for request in list(self._requests):
            if request["op"] == "leave" and failure is not None and not self._may_leave(failure):
                break
            try:
                self._channel.send(op="alive")
                self._do(request)
            except BizzMQError as error:
                if not is_of_one_queue(self._broker, error):
                    raise
                failure = error
            else:
                self._requests.remove(request)
        return failure

    def _may_leave(self, failure: BizzMQError) -> bool:
        """Whether a sign-off has waited long enough for a queue that has to be mended first."""
        self._leave_by_s = min(self._leave_by_s, clock.monotonic() + _PATIENCE_S)
        return isinstance(failure, QUEUE_TROUBLE) and clock.monotonic() >= self._leave_by_s

    def _recall(self, request: Request) -> None:
        """Give back what a busy worker has not started. If the queue has shards, the script finds out where that is."""
        for shard in self._keeper.shards_of(request["queue"]):
            try:
                count = self._broker.recall(shard, request["worker"], request["running"], request["delivery"])
            except BizzMQError:
                continue  # they wait for the worker, as they would have
            if count:
                log(_logger, logging.DEBUG, "messages behind a long one given back", queue=shard, count=count,
                    worker=request["worker"])  # fmt: skip

    def _do(self, request: Request) -> None:
        if request["op"] == "register":
            without = self._keeper.register(request["worker"])
            self._channel.send(op="registered", worker=request["worker"], without=without)
        elif request["op"] == "requeue":
            self._requeue(request)
        else:
            self._keeper.leave()
            self.left = True
            self._channel.send(op="left")

    def _requeue(self, request: Request) -> None:
        # First by its journal: if queues are on several servers, that knows more than the scoreboard. A queue that it
        # could not be settled on has to wait for it, and must not hear what is known here.
        unsettled = self._leftovers.settle(request["worker"])
        failures = list(unsettled.values())
        shards = [(shard, queue) for queue in self._queues for shard in self._keeper.shards_of(queue)]
        for shard, queue in shards:
            try:
                self._channel.send(op="alive")  # each of them can last as long as its server may take to answer
                if shard not in unsettled:
                    self._requeue_on(shard, self._addressed(request, queue, shard))
            except BizzMQError as error:
                failures.append(error)
                if not is_of_one_queue(self._broker, error):
                    break
                if isinstance(error, QUEUE_TROUBLE):
                    self._keeper.set_aside(shard, error, "requeue")
            else:
                self._keeper.is_well(shard, "requeue")
        if failures:
            raise next((error for error in failures if not is_of_one_queue(self._broker, error)), failures[0])
        self._channel.send(op="requeued", worker=request["worker"])

    def _addressed(self, request: Request, queue: str, shard: str) -> Request:
        """What one shard of a queue is told: only the one that has the running message hears that it ran there."""
        if request["queue"] != queue or len(self._keeper.shards_of(queue)) == 1:
            return request
        envelope, _ = self._broker.stored(shard, request["running"])
        return {**request, "queue": shard if envelope is not None else ""}

    def _requeue_on(self, queue: str, request: Request) -> None:
        worker = request["worker"]
        death = death_of(self._broker, queue, request, self._max_crashes)
        done = self._broker.requeue(queue, worker, death)
        if done is None:
            return
        if death.what == FAILED:
            _say_failed(queue, request, death)
        if done.quarantined:
            log(_logger, logging.ERROR, "message quarantined, it has killed its workers", queue=queue,
                id=done.quarantined, crashes=done.crashes, reason=request["reason"])  # fmt: skip
        if done.requeued or done.acked:
            log(_logger, logging.INFO, "messages of a worker settled", queue=queue, worker=worker,
                requeued=done.requeued, acked=done.acked)  # fmt: skip


def _say_failed(queue: str, request: Request, death: Death) -> None:
    """As a worker says it of a message whose handler has raised."""
    facts: dict[str, Any] = {"id": death.running, "queue": queue}
    if death.outcome == "retry":
        facts["delay_s"] = death.delay_ms / 1000
    error = f"{request['error_type']}: the worker {request['reason']}"
    level = logging.WARNING if death.outcome == "retry" else logging.ERROR
    log(_logger, level, f"message failed, {_OUTCOMES[death.outcome]}", **facts, error=error)
