"""The in-process consumer: a worker's loop and its lease, in two threads of the caller's process."""

from __future__ import annotations

import atexit
import logging
import os
from typing import Callable

from bizzmq.broker.broker import Broker
from bizzmq.broker.cancels import CANCEL_CHECK_S, CANCELS_UNREADABLE
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.retry import CURABLE, Outage, retry
from bizzmq.consumer import failpoints
from bizzmq.consumer.consumer import Consumer
from bizzmq.consumer.handlers.handler import Handler, UserHandler
from bizzmq.consumer.hooks import ConsumerHooks
from bizzmq.consumer.lease import Lease, LeaseOptions
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.consumer.output import collector
from bizzmq.consumer.own_activity import OwnActivity, program, report_of
from bizzmq.consumer.threads.consumer_thread import ConsumerThread
from bizzmq.consumer.threads.running_message import RunningMessage, shard_of
from bizzmq.control.pause_ends import PauseEnds
from bizzmq.dead_letters.retention import Retention
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError
from bizzmq.metrics.deploys import start_bytes
from bizzmq.metrics.reporter import Ledger, Reporter
from bizzmq.protocol import ids
from bizzmq.protocol.pool_report import own_versions
from bizzmq.protocol.sealing import Sealer, decoder
from bizzmq.schedules.scheduler import Scheduler
from bizzmq.utils.logs import log
from bizzmq.utils.stop_event import StopEvent

_logger = logging.getLogger("bizzmq.consumer")


class InProcessConsumer:
    """Consumes one queue until `stop` is called. It is registered in Redis as a supervisor of its own.

    Attributes:
        handled: the number of messages that it has run, once it has ended.
        ended: why its work has ended; None while it works, and if it has failed.
        is_stopped: whether `stop` has waited for its end.

    Raises (from `start`):
        QueueNotFoundError, BrokerUnavailableError
    """

    def __init__(
        self,
        new_broker: Callable[[], Broker],
        queue: str,
        handler: UserHandler | Handler,
        lease: LeaseOptions = LeaseOptions(),
        sealer: Sealer | None = None,
        options: ConsumerOptions = ConsumerOptions(),
    ) -> None:
        self.handled = 0
        self.ended: ExitReason | None = None
        self.is_stopped = False
        self._options = options
        self._queue = queue
        self._handler = handler if isinstance(handler, Handler) else Handler(handler)
        self._running = RunningMessage(self._handler)
        self._reads_cancels = True
        self._decode = decoder(sealer)
        self._supervisor = ids.supervisor_id()
        self._broker = new_broker()
        self._lease_broker = new_broker()
        self._scheduler = Scheduler(self._lease_broker, sealer, reach=failpoints.armed())
        self._pause_ends, self._retention = PauseEnds(self._lease_broker), Retention(self._lease_broker)
        self._lease = Lease(
            self._lease_broker, self._supervisor, [queue], lease, on_scan=self._look_after,
            on_heartbeat=self._scheduler.note, report=lambda _queue: report_of(
                self._activity, lease, self._worker, is_stopping=self._stop.requested
            ),
        )  # fmt: skip
        self._stop = StopEvent()
        self._lease_stop = StopEvent()
        self._activity = OwnActivity(self._lease_stop.wake)
        self._reporter = Reporter(
            self._lease_broker, self._supervisor, [queue], [self._activity.table], Ledger.of_one_process(),
            start=start_bytes("", own_versions()["version"], program()), shards_of=self._lease.shards_of,
        )  # fmt: skip
        self._starts = 0
        self._worker = ""
        self._process = os.getpid()
        self._consuming = ConsumerThread(self._consume, f"bizzmq-consume-{queue}")
        self._leasing = ConsumerThread(self._keep_lease, f"bizzmq-lease-{queue}")

    def start(self) -> None:
        self._register()
        atexit.register(self.stop)
        self._consuming.start()
        self._leasing.start()

    def run_here(self) -> None:
        """As `start`, but consume in this thread until `ask_to_stop`; only the lease is kept in another thread."""
        self._register()
        self._leasing.start()
        try:
            self._consume()
        finally:
            self._lease_stop.request()
            self._leasing.wait()

    @property
    def is_stop_requested(self) -> bool:
        """Whether the stop was requested, for example by the end of the program."""
        return self._stop.requested

    def ask_to_stop(self) -> None:
        """Request the stop without waiting. No new message is started. Safe in a signal handler."""
        self._stop.request()

    def stop(self) -> None:
        """Start no new message, wait for the running one, and give back the rest. May be called again.

        It does not wait if the handler itself calls it. In a forked child, which has none of the threads, it does
        nothing.
        """
        if os.getpid() != self._process:
            return
        self._stop.request()
        if self._consuming.is_current or self._leasing.is_current:
            return
        is_registered = self._worker != ""
        if not self._consuming.wait():
            self._unregister_worker()
            self._lease_stop.request()
        if not self._leasing.wait() and is_registered:
            self._end_lease()
        for broker in (self._broker, self._lease_broker):  # after a start that failed they may be connected
            broker.connection.drop()
        atexit.unregister(self.stop)
        self._stop.close()
        self._lease_stop.close()
        self.is_stopped = True

    def ends_within(self, timeout_s: float) -> bool:
        """Wait until it ends by itself, as a burst does, at most `timeout_s`; whether it has ended."""
        return self._consuming.ends_within(timeout_s)

    def abandon(self) -> None:
        """Request the stop after `start` has failed. A later `stop` waits for the threads that have begun."""
        self._stop.request()
        if not self._consuming.has_begun:
            self.stop()

    def _register(self) -> None:
        self._broker.options(self._queue)
        worker = self._new_worker_id()
        self._lease.register(worker)
        self._worker = worker

    def _register_again(self) -> None:
        """Register a new worker after the lease was lost, on the connection of this thread."""
        outage = Outage(_logger, self._supervisor, queue=self._queue)

        def register() -> str:
            worker = self._new_worker_id()
            Lease(self._broker, self._supervisor, [self._queue]).register(worker)
            return worker

        def wait(error: Exception) -> None:
            if self._stop.requested:
                raise error
            self._stop.wait(outage.failed(error))

        self._worker = retry(register, outage, wait, on=(*CURABLE, *QUEUE_TROUBLE))

    def _new_worker_id(self) -> str:
        worker = ids.worker_id(self._supervisor, self._starts)
        self._starts += 1
        return worker

    def _consume(self) -> None:
        collector.follow(lambda: self._running.running)
        try:
            reason = self._consume_once()
            while reason is ExitReason.LEASE_LOST:
                self._register_again()
                reason = self._consume_once()
            self.ended = reason
        except Exception as error:  # noqa: BLE001 - nothing else notices the end of a thread
            if not self._stop.requested or not isinstance(error, BizzMQError):
                log(_logger, logging.ERROR, "the consumer has ended", queue=self._queue, error=error)
        finally:
            collector.unfollow()
            self._unregister_worker()
            self._handler.close()
            self._lease_stop.request()

    def _consume_once(self) -> ExitReason:
        consumer = Consumer(
            self._broker, self._worker, [self._queue], self._handler, self._stop, self._options,
            ConsumerHooks(activity=self._activity, decode=self._decode),
        )  # fmt: skip
        try:
            return consumer.run()
        finally:
            self.handled += consumer.handled

    def _unregister_worker(self) -> None:
        """End the worker's registration. Messages that it still holds go back; after an orderly end there are none."""
        if not self._worker:
            return
        try:
            for shard in self._lease.shards_of(self._queue):
                self._broker.requeue(shard, self._worker, DeadWorker(DeathKind.STOPPED))
        except BizzMQError as error:
            log(
                _logger,
                logging.WARNING,
                "could not sign off, the lease returns what is held",
                error=str(error),
            )
        finally:
            self._worker = ""
            self._broker.connection.drop()

    def _keep_lease(self) -> None:
        outage = Outage(_logger, self._supervisor)
        while not self._lease_stop.requested:
            try:
                wait_s = min(self._lease.tick(), CANCEL_CHECK_S, self._scheduler.tick(self._lease))
                wait_s = min(wait_s, self._reporter.tick())
                wait_s = min(wait_s, self._activity.store(self._lease_broker, self._worker))
                self._check_cancel()
                outage.over()
            except BizzMQError as error:
                wait_s = outage.failed(error)
            self._lease_stop.wait(wait_s)
        self._end_lease()

    def _look_after(self, queue: str) -> None:
        self._pause_ends.tick(queue)
        self._retention.enforce(queue)

    def _check_cancel(self) -> None:
        """Cancel the running message if that is requested. The user of a Redis may lack the permission to see it."""
        context = self._running.context
        if context is None or not self._reads_cancels:
            return
        try:
            if self._lease_broker.cancelled_among(shard_of(context), [context.id]):
                self._running.cancel(context)
        except CommandRefusedError as error:
            self._reads_cancels = False
            log(_logger, logging.WARNING, CANCELS_UNREADABLE, error=str(error))

    def _end_lease(self) -> None:
        self._reporter.finish()
        try:
            self._lease.unregister()
        except BizzMQError as error:
            log(_logger, logging.DEBUG, "could not strike the consumer off", error=str(error))
        finally:
            self._lease_broker.connection.drop()
