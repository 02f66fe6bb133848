"""The janitor: the supervisor's child that talks to Redis for it. It runs no user code.

It keeps each request until Redis has done it, however long Redis is away. If it dies, the supervisor starts another
one and repeats the requests that are not confirmed; all of them are safe to repeat.
"""

from __future__ import annotations

import logging
import os
import select
import signal

from bizzmq.app.description import AppDescription
from bizzmq.broker.broker import Broker
from bizzmq.connection.error_mapping import SlotMovedError
from bizzmq.connection.factory import AnyConnection
from bizzmq.connection.retry import CURABLE, Outage
from bizzmq.consumer import failpoints
from bizzmq.consumer.lease import QUEUE_GONE, Lease, LeaseOptions
from bizzmq.doctor.server_info import warn_of_eviction
from bizzmq.errors import (
    QUEUE_TROUBLE,
    BizzMQError,
    BrokerUnusableError,
    QueueNotFoundError,
)
from bizzmq.metrics.deploys import start_bytes
from bizzmq.metrics.reporter import Reporter
from bizzmq.protocol.keys import logical_queue
from bizzmq.protocol.pool_report import own_versions
from bizzmq.schedules.scheduler import Scheduler
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers import exit_codes
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.janitor_messages import (
    TO_JANITOR,
    Alive,
    Answer,
    CancelRunning,
    Described,
    JanitorReady,
    JanitorRequest,
    KeepProfile,
    Requeue,
    SignOff,
    SlowMessage,
    Unusable,
)
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.janitor.cancels import RunningCancels
from bizzmq.workers.janitor.gauge_sender import GaugeSender
from bizzmq.workers.janitor.orphans import OrphanedWorkers
from bizzmq.workers.janitor.pending_requests import PendingRequests, concerns_one_queue
from bizzmq.workers.janitor.pool_activity import PoolActivity, target_of
from bizzmq.workers.janitor.pool_requests import PoolRequests
from bizzmq.workers.janitor.queues import PoolQueues
from bizzmq.workers.janitor.record_keeper import RecordKeeper
from bizzmq.workers.janitor.server_check import ServerCheck
from bizzmq.workers.janitor.slow_messages import SlowMessages
from bizzmq.workers.janitor.usage_sampler import UsageSampler
from bizzmq.workers.journal.file_format import server_of
from bizzmq.workers.journal.recovery import JournalRecovery
from bizzmq.workers.process import fork
from bizzmq.workers.process.title import Title

_logger = logging.getLogger("bizzmq.janitor")
_RETRY_S = 0.5
"""How long to wait before a request that has failed on one queue is tried again."""


class Janitor:
    """Creates missing queues, registers workers, renews the lease, requeues dead workers, reaps silent supervisors."""

    def __init__(
        self, supervisor: str, connection: AnyConnection, config: WorkerConfig, scoreboard: Scoreboard, channel: Channel
    ) -> None:
        self._supervisor = supervisor
        self._config = config
        self._channel = channel
        self._broker = Broker(connection)
        sealer = config.sealer()
        self._queues = PoolQueues(self._broker, config.description, self._report_alive, sealer)
        self._unprepared: set[str] = set()  # whose options are to be compared with those that the app declares now
        self._scheduler = Scheduler(self._broker, sealer, before_request=self._report_alive, reach=failpoints.armed())
        self._orphans = OrphanedWorkers(config, scoreboard)
        lease = LeaseOptions(config.beat_s, config.lease_s, config.scan_s)
        self._lease = Lease(
            self._broker, supervisor, config.queues, lease, create=self._queues.create,
            living_workers=self._living_workers, before_queue=self._report_alive, on_scan=self._look_after,
            on_heartbeat=self._scheduler.note,
            report=PoolActivity(config, scoreboard, self._orphans).report,
        )  # fmt: skip
        self._recovery = JournalRecovery(
            config.journal, self._broker, server_of(config.redis_url), config.queues, self._living_workers,
            config.scan_s, config.beat_s / 2,
        )  # fmt: skip
        self._records = RecordKeeper(self._broker, scoreboard, lambda: self._orphans.slots)
        self._outage = Outage(_logger, "janitor")
        self._gauges = GaugeSender(
            self._broker, config.queues, channel, before_request=self._report_alive,
            has_health_port=config.health_port is not None,
        )  # fmt: skip
        sampler = UsageSampler(self._broker, supervisor, config.queues[0], self._lease, scoreboard, self._orphans)
        self._reporter = Reporter(
            self._broker, supervisor, config.queues, scoreboard.all_metrics(), scoreboard.ledger(),
            start=start_bytes(config.code_version, own_versions()["version"], target_of(config)),
            shards_of=self._lease.shards_of, before_request=self._report_alive, on_gauges=self._gauges.send_lengths,
            usage=sampler.sample,
        )  # fmt: skip
        self._pending = PendingRequests(
            self._broker, self._lease, self._orphans, self._recovery, channel, self._queues, config,
            before_sign_off=self._reporter.finish,
        )  # fmt: skip
        self._cancels = RunningCancels(
            self._broker, config.queues, scoreboard, lambda: self._orphans.slots, self._lease.shards_of,
            self._cancel_running,
        )  # fmt: skip
        self._slow = SlowMessages(
            self._broker, config, scoreboard, lambda: self._orphans.slots, self._lease.shards_of,
            lambda worker, message_id, delivery: self._channel.send(SlowMessage(worker, message_id, delivery)),
        )  # fmt: skip
        self._requests = PoolRequests(
            self._broker, supervisor, config.queues[0], self._channel.send, reach=failpoints.armed()
        )
        self._server_check = ServerCheck(self._broker, supervisor, config.queues[0], self._report_alive)
        self._ready = False

    def main(self) -> int:
        """Run the process from start to end, and return its exit code."""
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it exits after the sign-off, or when the supervisor is gone
        fork.unblock_signals()
        Title("janitor", os.getppid(), self._config.queues).show("at work")
        while not self._pending.signed_off:
            for request in self._channel.receive(TO_JANITOR):
                self._accept(request)
            if self._channel.closed:
                return self._outlive_supervisor()
            wait_s = self.tick()
            self._report_alive()
            if not self._pending.signed_off:
                self._wait(wait_s)
        return exit_codes.DRAINED

    def _accept(self, request: JanitorRequest) -> None:
        if isinstance(request, Described):
            self._queues.describe(AppDescription.of_data(request.app))
            self._unprepared = {*self._config.queues} if self._ready else set()
        elif isinstance(request, Answer):
            self._requests.accept(request)
        elif isinstance(request, KeepProfile):
            self._slow.accept(request)
        else:
            self._pending.accept(request)

    def tick(self) -> float:
        """Do what is due; returns the seconds until there is something to do again.

        A part whose request has failed is due again at once. So after a failure, no round succeeds without an answer.
        """
        try:
            if not self._ready:
                self._make_ready()
            for queue in sorted(self._unprepared):
                self._prepare(queue)
                self._unprepared.discard(queue)
            self._slow.store()  # before their workers' messages are requeued
            failure = self._pending.process()
            if not self._pending.signed_off:  # before others are reaped: journals know better what they had finished
                failure = self._recover_journals() or failure
            wait_s = 0.0 if self._pending.signed_off else self._tick_parts()
            if failure is not None:
                raise failure
            if self._config.min_concurrency and not self._pending.signed_off:
                wait_s = min(wait_s, self._gauges.tick())
            wait_s = min(wait_s, self._records.tick())
            self._outage.over()
            return wait_s
        except CURABLE as error:
            self._report_if_unusable(error)
            return self._outage.failed(error)
        except QueueNotFoundError as error:
            if self._ready:
                log(_logger, logging.ERROR, QUEUE_GONE, queue=error.queue)
            self._ready = False  # create the queues again, and register
            return 0.1
        except QUEUE_TROUBLE:  # only an operator can repair it; the lease has logged it
            self._outage.over()
            return min(_RETRY_S, self._config.beat_s)

    def _tick_parts(self) -> float:
        """Do what is due of what repeats; returns the seconds until the next time."""
        wait_s = min(self._lease.tick(), self._cancels.tick(), self._scheduler.tick(self._lease))
        wait_s = min(wait_s, self._reporter.tick())
        if self._channel.closed:  # without a supervisor, nobody does what is asked
            return wait_s
        return min(wait_s, self._slow.tick(), self._requests.tick())

    def _report_if_unusable(self, error: BizzMQError) -> None:
        """Report an error that no waiting repairs, unless Redis has served this janitor before."""
        is_node = isinstance(error, SlotMovedError) and not self._broker.connection.spans_nodes
        if not self._ready and (is_node or isinstance(error, BrokerUnusableError)):
            self._channel.send(Unusable(f"Redis cannot be used: {error}"))

    def _make_ready(self) -> None:
        """Create the queues and register."""
        self._server_check.require_commands()
        for queue in self._config.queues:
            self._prepare(queue)
        self._lease.register()
        warn_of_eviction(self._broker.connection, _logger)
        self._ready = True
        self._channel.send(JanitorReady())

    def _report_alive(self) -> None:
        self._channel.send(Alive(self._outage.lasts, self._lease.aside, self._queues.paused))

    def _prepare(self, queue: str) -> None:
        """Create a queue with all its shards if they are missing. If only this queue has a problem, it is set aside."""
        try:
            self._report_alive()
            self._check_shard(queue)
            self._queues.prepare(queue, max(len(self._lease.shards_of(queue)), len(self._broker.shards(queue))))
        except QUEUE_TROUBLE as error:
            self._report_if_unusable(error)
            self._lease.set_aside(queue, error)

    def _check_shard(self, queue: str) -> None:
        """Check that a shard exists: it is created with its queue only. At the start, a wrong name ends the pool.

        Raises:
            QueueNotFoundError: there is no such shard.
        """
        logical = logical_queue(queue)
        if queue == logical or self._broker.exists(queue):
            return
        if not self._ready:
            count = len(self._broker.shards(logical)) if self._broker.exists(logical) else 0
            has = f"{logical!r} has {count} (shards are counted from 0)" if count else f"there is no queue {logical!r}"
            self._channel.send(Unusable(f"there is no shard {queue!r}: {has}"))
        raise QueueNotFoundError(queue)

    def _cancel_running(self, worker: str, message_id: str, delivery: int) -> None:
        """Cancel what a worker runs: the supervisor does it, while there is one."""
        if self._channel.closed:
            self._orphans.cancel(worker, message_id, delivery)
        else:
            self._channel.send(CancelRunning(worker, message_id, delivery))

    def _living_workers(self) -> set[str]:
        return self._pending.living_workers()

    def _recover_journals(self) -> BizzMQError | None:
        """Settle journals of dead workers; returns why some have to wait, if that is one queue's trouble."""
        try:
            self._recovery.tick()
        except BizzMQError as error:
            if not concerns_one_queue(self._broker, error):
                raise
            return error
        return None

    def _look_after(self, queue: str) -> None:
        self._queues.look_after(queue, len(self._lease.shards_of(queue)))

    def _wait(self, timeout_s: float) -> None:
        poller = select.poll()
        poller.register(self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._channel.unsent else 0))
        poller.poll(max(0.0, min(timeout_s, self._config.beat_s)) * 1000)
        self._channel.flush()

    def _outlive_supervisor(self) -> int:
        """The supervisor is gone: keep its lease while its workers finish, settle what they leave, sign off."""
        log(_logger, logging.ERROR, "the supervisor is gone, its workers finish what they run and leave")
        self._pending.end_starting()
        give_up_s = clock.monotonic() + self._config.drain_timeout_s + 2 * self._config.lease_s
        while clock.monotonic() < give_up_s:
            for worker_exit in self._orphans.collect():
                self._pending.add(Requeue(worker_exit))
            if not self._orphans.living:
                self._pending.add(SignOff())
            wait_s = self.tick()
            if self._pending.signed_off:
                break
            clock.sleep(min(wait_s, 0.05))
        return exit_codes.DRAINED
