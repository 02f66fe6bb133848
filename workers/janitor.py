"""The janitor: the supervisor's child that talks to Redis for it. It runs no user code.

What it is asked to do it owes until Redis has done it, however long Redis is away. Should it die, the
supervisor starts another one and repeats what is still owed; all of it is safe to repeat.
"""

from __future__ import annotations

import logging
import os
import select
import signal

from bizzmq import clock
from bizzmq.broker import Broker
from bizzmq.census import stats
from bizzmq.connections import AnyConnection
from bizzmq.errors import (
    QUEUE_TROUBLE,
    BizzMQError,
    BrokerFullError,
    BrokerRefusesError,
    BrokerUnavailableError,
    BrokerUnusableError,
    QueueNotFoundError,
)
from bizzmq.foreign import SlotMovedError
from bizzmq.keys import shard_of, whole_of
from bizzmq.lease import QUEUE_GONE, LeaseKeeper, LeaseOptions
from bizzmq.logs import log
from bizzmq.outage import Outage
from bizzmq.queue import QueueOptions, QueueStats
from bizzmq.roles import OPTIONAL, needed
from bizzmq.server_info import missing_commands, warn_of_eviction
from bizzmq.workers import exits, spawn
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.journal_file import server_of
from bizzmq.workers.leftovers import Leftovers
from bizzmq.workers.owed import Owed, is_of_one_queue
from bizzmq.workers.scoreboard import Scoreboard
from bizzmq.workers.titles import Title
from bizzmq.workers.undertaker import Undertaker

_logger = logging.getLogger("bizzmq.janitor")
_GAUGES_S = 1.0
_REST_S = 0.5
"""How long to wait before what could not be done on one queue is tried again, seconds."""


class Janitor:
    """Creates missing queues, registers workers, beats, requeues the dead, reaps the silent."""

    def __init__(
        self, supervisor: str, connection: AnyConnection, config: WorkerConfig, scoreboard: Scoreboard, channel: Channel
    ) -> None:
        self._supervisor = supervisor
        self._config = config
        self._channel = channel
        self._broker = Broker(connection)
        lease = LeaseOptions(config.beat_s, config.lease_s, config.scan_s)
        self._keeper = LeaseKeeper(
            self._broker, supervisor, config.queues, lease, create=self._create, living=self._living_workers,
            asking=self._say_alive, seen=self._learn,
        )  # fmt: skip
        self._undertaker = Undertaker(config, scoreboard)
        self._leftovers = Leftovers(
            config.journal, self._broker, server_of(config.redis_url), config.queues, self._living_workers,
            config.scan_s, config.beat_s / 2,
        )  # fmt: skip
        self._outage = Outage(_logger, "janitor")
        self._known: dict[str, tuple[QueueOptions, bool]] = {}  # by queue, as it was last seen; see Intake.meta
        self._owed = Owed(
            self._broker, self._keeper, self._undertaker, self._leftovers, channel, config.queues, config.max_crashes
        )
        self._ready = self._is_checked = False
        self._next_gauges_s = 0.0

    def main(self) -> int:
        """The whole life of the process; returns its exit code."""
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it goes when the supervisor lets it, or is gone
        spawn.unblock_signals()
        Title("janitor", os.getppid(), self._config.queues).show("at work")
        while not self._owed.left:
            for request in self._channel.receive():
                self._owed.accept(request)
            if self._channel.closed:
                return self._outlive()
            wait_s = self.tick()
            self._say_alive()
            if not self._owed.left:
                self._wait(wait_s)
        return exits.DRAINED

    def tick(self) -> float:
        """Do what is due; returns the seconds until there is something to do again."""
        try:
            if not self._ready:
                self._make_ready()
            owing = self._owed.pay()
            if not self._owed.left:  # before others are reaped: what they had finished is known better here
                owing = self._settle_leftovers() or owing
            wait_s = 0.0 if self._owed.left else self._keeper.tick()
            if owing is not None:
                raise owing
            if self._config.min_concurrency and not self._owed.left:
                wait_s = min(wait_s, self._send_gauges())
            self._outage.over()
            return wait_s
        except (BrokerUnavailableError, BrokerFullError) as error:
            self._tell_if_unusable(error)
            return self._outage.failed(error)
        except QueueNotFoundError as error:
            if self._ready:
                log(_logger, logging.ERROR, QUEUE_GONE, queue=error.queue)
            self._ready = False  # begin again
            return 0.1
        except QUEUE_TROUBLE:  # only an operator can mend it; the keeper has said so
            self._outage.over()
            return min(_REST_S, self._config.beat_s)

    def _tell_if_unusable(self, error: BizzMQError) -> None:
        """Before Redis was of any use, the supervisor has to know what no waiting mends."""
        is_node = isinstance(error, SlotMovedError) and not self._broker.connection.spans_nodes
        if not self._ready and (is_node or isinstance(error, BrokerUnusableError)):
            self._channel.send(op="unusable", why=f"Redis cannot be used: {error}")

    def _make_ready(self) -> None:
        """Create the queues and register."""
        self._check_commands()
        for queue in self._config.queues:
            self._prepare(queue)
        self._keeper.register()
        warn_of_eviction(self._broker.connection, _logger)
        self._ready = True
        self._channel.send(op="ready")

    def _check_commands(self) -> None:
        """Once for each pool: see that the server has what it cannot do without.

        Raises:
            BrokerUnusableError: it lacks something.
        """
        if self._is_checked or self._is_registered():
            return
        vital = sorted({*needed("worker")} - {*OPTIONAL})
        try:
            missing = missing_commands(
                self._broker.connection.at(self._broker.keys(self._config.queues[0]).meta), vital, self._say_alive
            )
        except BrokerRefusesError:
            raise
        except BrokerUnavailableError:
            self._broker.ping()  # it is there, only a proxy does not like such questions
            missing = []
        self._is_checked = not missing
        if missing:
            names = ", ".join(name.upper() for name in missing)
            raise BrokerUnusableError(f"the server has no {names}: see bizzmq doctor")

    def _is_registered(self) -> bool:
        """Whether a janitor before this one has registered the supervisor: then a beat is due, and no question."""
        try:
            return self._supervisor in self._broker.supervisors(self._config.queues[0])
        except (*QUEUE_TROUBLE, BrokerRefusesError):
            return False

    def _say_alive(self) -> None:
        self._channel.send(op="alive", away=self._outage.lasts, aside=self._keeper.aside)

    def _prepare(self, queue: str) -> None:
        """See that a queue is there with all its shards. What is wrong with it alone keeps nobody else waiting."""
        try:
            self._say_alive()
            self._check_shard(queue)
            self._create(queue, max(len(self._keeper.shards_of(queue)), len(self._broker.shards(queue))))
            self._known[queue] = self._broker.meta(queue)
        except QUEUE_TROUBLE as error:
            self._tell_if_unusable(error)
            self._keeper.set_aside(queue, error)

    def _check_shard(self, queue: str) -> None:
        """A shard is created with its queue, or not at all. At the start a wrong name is wrong input: the pool ends.

        Raises:
            QueueNotFoundError: there is no such shard.
        """
        whole = whole_of(queue)
        if queue == whole or self._broker.exists(queue):
            return
        if not self._ready:
            count = len(self._broker.shards(whole)) if self._broker.exists(whole) else 0
            has = f"{whole!r} has {count} (shards are counted from 0)" if count else f"there is no queue {whole!r}"
            self._channel.send(op="unusable", why=f"there is no shard {queue!r}: {has}")
        raise QueueNotFoundError(queue)

    def _living_workers(self) -> set[str]:
        return self._owed.living_workers()

    def _settle_leftovers(self) -> BizzMQError | None:
        """Look for journals; the reason if some have to wait, but beats are still possible on other queues."""
        try:
            self._leftovers.tick()
        except BizzMQError as error:
            if not is_of_one_queue(self._broker, error):
                raise
            return error
        return None

    def _send_gauges(self) -> float:
        """Tell the supervisor, once a second, what its scaling goes by; returns the seconds until the next time."""
        now_s = clock.monotonic()
        if now_s >= self._next_gauges_s:
            self._next_gauges_s = now_s + _GAUGES_S
            counts = [count for queue in self._config.queues for count in self._counts(queue)]
            settled = sum(count.acked + count.retried + count.discarded for count in counts)
            self._channel.send(op="gauges", waiting=sum(count.waiting for count in counts), settled=settled)
        return self._next_gauges_s - now_s

    def _counts(self, queue: str) -> list[QueueStats]:
        """What a queue holds; nothing of one that cannot be asked, which others say."""
        try:
            return [stats(self._broker, queue)]
        except QUEUE_TROUBLE:
            return []

    def _learn(self, queue: str) -> None:
        """Remember a queue's options, for a Redis that loses its data. One that has vanished is created again."""
        if queue != whole_of(queue):
            return
        try:
            self._known[queue] = self._broker.meta(queue)
        except QueueNotFoundError:
            log(_logger, logging.ERROR, QUEUE_GONE, queue=queue)
            self._create(queue, len(self._keeper.shards_of(queue)))

    def _create(self, queue: str, shards: int = 1) -> None:
        if all(self._exists(shard_of(queue, index)) for index in range(shards)):
            return  # and nothing is written: so a pool can start to drain a Redis that is full
        is_dead = self._broker.keys(queue).is_dead_letter_queue
        default = QueueOptions(config_dead_letter_queue=not is_dead, shards=shards)
        options, implicit = self._known.get(queue, (default, True))
        if self._broker.create(queue, options, implicit=implicit):
            log(_logger, logging.INFO, "queue did not exist and was created", queue=queue,
                dead_letter_queue=options.config_dead_letter_queue)  # fmt: skip

    def _exists(self, queue: str) -> bool:
        self._say_alive()
        return self._broker.exists(queue)

    def _wait(self, timeout_s: float) -> None:
        poller = select.poll()
        poller.register(self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._channel.unsent else 0))
        poller.poll(max(0.0, min(timeout_s, self._config.beat_s)) * 1000)
        self._channel.flush()

    def _outlive(self) -> int:
        """The supervisor is gone: keep its lease while its workers finish, settle what they leave, sign off."""
        log(_logger, logging.ERROR, "the supervisor is gone, its workers finish what they run and leave")
        self._owed.end_starting()
        give_up_s = clock.monotonic() + self._config.drain_timeout_s + 2 * self._config.lease_s
        while clock.monotonic() < give_up_s:
            for burial in self._undertaker.collect():
                self._owed.add({"op": "requeue", **burial.as_message()})
            if not self._undertaker.living:
                self._owed.add({"op": "leave"})
            wait_s = self.tick()
            if self._owed.left:
                break
            clock.sleep(min(wait_s, 0.05))
        return exits.DRAINED
