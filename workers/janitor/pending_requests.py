"""The supervisor's requests that are not done yet: registrations, the messages of dead workers, the sign-off."""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import replace
from typing import Any, Callable, Union

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.consumer.lease import Lease
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, BrokerUnavailableError, QueueNotFoundError
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.janitor_messages import (
    Adopt,
    Alive,
    Answer,
    Described,
    JanitorRequest,
    KeepProfile,
    Register,
    Registered,
    ReleasePrefetched,
    Requeue,
    Requeued,
    SignedOff,
    SignOff,
)
from bizzmq.workers.ipc.records_area import Record
from bizzmq.workers.ipc.worker_exit import WorkerExit
from bizzmq.workers.janitor import record_keeper
from bizzmq.workers.janitor.crash_outcome import dead_worker_for
from bizzmq.workers.janitor.orphans import OrphanedWorkers
from bizzmq.workers.janitor.queues import PoolQueues
from bizzmq.workers.journal.recovery import JournalRecovery

_logger = logging.getLogger("bizzmq.janitor")

_OUTCOMES = {
    "retry": "message failed, will be retried", "dead-letter": "message failed, dead-lettered",
    "discard": "message failed, discarded", "cancel": "message cancelled, its worker was killed",
}  # fmt: skip
_PATIENCE_S = 2.0
"""How long a sign-off waits for a queue that is out of order; the lease returns what is held there."""

_Request = Union[Register, Requeue, SignOff]


def concerns_one_queue(broker: Broker, error: BizzMQError) -> bool:
    """Whether an error is one queue's, so that the work on the others goes on."""
    if isinstance(error, QueueNotFoundError):
        return False  # the janitor creates the queue again, and starts from the beginning
    is_away = isinstance(error, BrokerUnavailableError)
    return isinstance(error, QUEUE_TROUBLE) or (is_away and broker.connection.spans_nodes)


class PendingRequests:
    """Keeps each request until all of it is done. Every request is safe to repeat.

    Args:
        before_sign_off: called before the supervisor is unregistered, perhaps several times.

    Attributes:
        signed_off: whether the sign-off was requested and is done.
    """

    def __init__(
        self,
        broker: Broker,
        lease: Lease,
        orphans: OrphanedWorkers,
        recovery: JournalRecovery,
        channel: Channel,
        pool_queues: PoolQueues,
        config: WorkerConfig,
        *,
        before_sign_off: Callable[[], None] = lambda: None,
    ) -> None:
        self._before_sign_off = before_sign_off
        self._broker = broker
        self._lease = lease
        self._orphans = orphans
        self._recovery = recovery
        self._channel = channel
        self._pool_queues = pool_queues
        self._queues = config.queues
        self._max_crashes = config.max_crashes
        self._requests: deque[_Request] = deque()
        self._starting: set[str] = set()  # to be registered, and without a known process
        self._unadopted: list[Adopt] = []
        self._sign_off_by_s = math.inf
        self.signed_off = False

    def accept(self, request: JanitorRequest) -> None:
        """Take a request of the supervisor."""
        if isinstance(request, Adopt):
            self._unadopted.append(request)
            self._adopt_started()
        elif isinstance(request, ReleasePrefetched):
            self._release_prefetched(request)
        elif isinstance(request, Requeue):
            self._accept_requeue(request)
        elif not isinstance(request, (Described, Answer, KeepProfile)):
            if isinstance(request, Register) and request.worker not in self._orphans.workers:
                self._starting.add(request.worker)
            self._requests.append(request)

    def _accept_requeue(self, request: Requeue) -> None:
        worker = request.worker
        self._orphans.forget(worker)
        self._unadopted = [adopt for adopt in self._unadopted if adopt.worker != worker]
        self._starting.discard(worker)
        # A registration that is still pending must not follow the end of what it registers.
        self._requests = deque(r for r in self._requests if not (isinstance(r, Register) and r.worker == worker))
        self._requests.appendleft(request)  # before registrations: other workers can run these messages

    def _adopt_started(self) -> None:
        """Watch the workers that were started. Without a free descriptor this is tried again later."""
        for request in self._unadopted[:]:
            try:
                is_alive = self._orphans.adopt(request.worker, request.pid, request.slot)
            except OSError:
                return
            self._unadopted.remove(request)
            if is_alive:
                self._starting.discard(request.worker)

    def add(self, request: _Request) -> None:
        """Do this after all else. A request that is already pending is not added again."""
        if request not in self._requests:
            self._requests.append(request)

    def end_starting(self) -> None:
        """The supervisor is gone: requeue for the workers that it was still starting, which never get to work."""
        self._adopt_started()
        for worker in sorted(self._starting - {request.worker for request in self._unadopted}):
            reason = "ended before it had begun to work"
            self.accept(Requeue(WorkerExit(worker, DeathKind.STOPPED, running="", last_finished="", reason=reason)))

    def living_workers(self) -> set[str]:
        """The workers that live, that are being started, and whose end is not settled yet."""
        pending = (request.worker for request in self._requests if not isinstance(request, SignOff))
        unadopted = (request.worker for request in self._unadopted)
        return {*self._orphans.workers, *self._starting, *pending, *unadopted}

    def process(self) -> BizzMQError | None:
        """Do all that is possible; returns why something has to wait, if that is one queue's trouble.

        Raises:
            BizzMQError: it concerns all queues.
        """
        self._adopt_started()
        failure: BizzMQError | None = None
        for request in list(self._requests):
            if isinstance(request, SignOff) and failure is not None and not self._may_sign_off(failure):
                break
            try:
                self._channel.send(Alive())
                self._do(request)
            except BizzMQError as error:
                if not concerns_one_queue(self._broker, error):
                    raise
                failure = error
            else:
                self._requests.remove(request)
        return failure

    def _may_sign_off(self, failure: BizzMQError) -> bool:
        """Whether the sign-off has waited long enough for a queue that an operator has to repair first."""
        self._sign_off_by_s = min(self._sign_off_by_s, clock.monotonic() + _PATIENCE_S)
        return isinstance(failure, QUEUE_TROUBLE) and clock.monotonic() >= self._sign_off_by_s

    def _release_prefetched(self, request: ReleasePrefetched) -> None:
        """Give back what a busy worker has not started. Of a queue's shards, the script finds the right one."""
        for shard in self._lease.shards_of(request.queue):
            try:
                count = self._broker.release_prefetched(shard, request.worker, request.running, request.delivery)
            except BizzMQError:
                continue  # the messages wait for their worker, as without this request
            if count:
                log(_logger, logging.DEBUG, "messages behind a long one given back", queue=shard, count=count,
                    worker=request.worker)  # fmt: skip

    def _do(self, request: _Request) -> None:
        if isinstance(request, Register):
            without = self._lease.register(request.worker)
            self._channel.send(Registered(request.worker, without))
        elif isinstance(request, Requeue):
            self._requeue(request.worker_exit)
        else:
            self._before_sign_off()
            self._lease.unregister()
            self.signed_off = True
            self._channel.send(SignedOff())

    def _requeue(self, worker_exit: WorkerExit) -> None:
        # The journal comes first: if queues are on several servers, it knows more than the scoreboard. A queue on which
        # the journal could not be settled waits for that, and must not be settled by what the scoreboard says.
        unsettled = self._recovery.settle(worker_exit.worker)
        failures = list(unsettled.values())
        shards = [(shard, queue) for queue in self._queues for shard in self._lease.shards_of(queue)]
        for shard, queue in shards:
            try:
                self._channel.send(Alive())  # each shard can take as long as its server may take to answer
                if shard not in unsettled:
                    self._requeue_on(shard, self._for_shard(worker_exit, queue, shard))
            except BizzMQError as error:
                failures.append(error)
                if not concerns_one_queue(self._broker, error):
                    break
                if isinstance(error, QUEUE_TROUBLE):
                    self._lease.set_aside(shard, error, "requeue")
            else:
                self._lease.works_again(shard, "requeue")
        if failures:
            raise next((error for error in failures if not concerns_one_queue(self._broker, error)), failures[0])
        self._channel.send(Requeued(worker_exit.worker))

    def _for_shard(self, worker_exit: WorkerExit, queue: str, shard: str) -> WorkerExit:
        """The exit with the shard that holds the running message as its queue."""
        if worker_exit.queue != queue or len(self._lease.shards_of(queue)) == 1:
            return worker_exit
        envelope, _ = self._broker.stored(shard, worker_exit.running)
        return replace(worker_exit, queue=shard if envelope is not None else "")

    def _requeue_on(self, shard: str, worker_exit: WorkerExit) -> None:
        worker = worker_exit.worker
        if worker_exit.checkpoint and worker_exit.checkpoint["queue"] == shard:
            record_keeper.store(self._broker, worker, checkpoint=Record.from_stored(worker_exit.checkpoint))
        if worker_exit.output and worker_exit.queue == shard:
            record_keeper.store_output(self._broker, worker, worker_exit)
        dead_worker = dead_worker_for(self._broker, shard, worker_exit, self._max_crashes, self._pool_queues.app)
        done = self._broker.requeue(shard, worker, dead_worker)
        if done is None:
            return
        if dead_worker.what == DeathKind.FAILED:
            _log_failure(shard, worker_exit, dead_worker)
        if done.quarantined:
            log(_logger, logging.ERROR, "message quarantined, it has killed its workers", queue=shard,
                id=done.quarantined, crashes=done.crashes, reason=worker_exit.reason)  # fmt: skip
        if done.requeued or done.acked:
            log(_logger, logging.INFO, "messages of a worker settled", queue=shard, worker=worker,
                requeued=done.requeued, acked=done.acked)  # fmt: skip


def _log_failure(queue: str, worker_exit: WorkerExit, dead_worker: DeadWorker) -> None:
    """The same log line as a worker writes for a message whose handler has raised."""
    facts: dict[str, Any] = {"id": dead_worker.running, "queue": queue}
    if dead_worker.outcome == "retry":
        facts["delay_s"] = dead_worker.delay_ms / 1000
    error = f"{worker_exit.error_type}: the worker {worker_exit.reason}"
    levels = {"retry": logging.WARNING, "cancel": logging.INFO}
    log(_logger, levels.get(dead_worker.outcome, logging.ERROR), _OUTCOMES[dead_worker.outcome], **facts, error=error)
