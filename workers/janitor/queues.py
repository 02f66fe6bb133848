"""The queues of a pool: created if they are missing, with the options that an app declares, and compared with those."""

from __future__ import annotations

import logging
from typing import Callable, Mapping, Optional

from bizzmq.admin import create
from bizzmq.app.description import AppDescription
from bizzmq.broker.broker import Broker
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.consumer.lease import QUEUE_GONE
from bizzmq.control.pause_ends import PauseEnds
from bizzmq.dead_letters.retention import Retention
from bizzmq.errors import BrokerFullError, ConfigurationError, QueueNotFoundError
from bizzmq.protocol.keys import logical_queue, shard_of
from bizzmq.protocol.sealing import Sealer
from bizzmq.queue import QueueOptions
from bizzmq.schedules import operations
from bizzmq.utils import logs
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.janitor")


class PoolQueues:
    """Creates the queues of a pool, and creates them again with the same options after Redis has lost its data.

    Args:
        app: what the handler's app declares; None for a plain handler.
        before_request: called before each request to Redis.
        sealer: signs the app's schedules; None leaves them unsigned.

    Attributes:
        app: as given, or as described later.
    """

    def __init__(
        self,
        broker: Broker,
        app: Optional[AppDescription],
        before_request: Callable[[], None],
        sealer: Optional[Sealer] = None,
    ) -> None:
        self._broker = broker
        self._before_request = before_request
        self._sealer = sealer
        self._retention = Retention(broker)
        self._pause_ends = PauseEnds(broker)
        self._known: dict[str, tuple[QueueOptions, bool]] = {}  # by queue: options, whether created implicitly
        self._first_queues = None if app is None else {*app.queues}
        self._warned: set[str] = set()  # differences
        self.app = app

    def describe(self, app: AppDescription) -> None:
        """Note what new workers' code declares. Queues that are new need another start of the pool."""
        new = [queue for queue in app.queues if self._first_queues is not None and queue not in self._first_queues]
        if new:
            log(_logger, logging.WARNING, "the app has new queues: restart the pool to serve them",
                queues=",".join(new))  # fmt: skip
            self._first_queues = {*(self._first_queues or ()), *new}
        self.app = app

    def prepare(self, queue: str, shards: int) -> None:
        """Create a queue with all its shards if they are missing, and compare its options with the declared ones."""
        self.create(queue, shards)
        declared = self._declared(queue)
        if declared is not None:
            self._compare(queue, declared)
        self.remember(queue)
        self._declare_schedules(queue)

    def remember(self, queue: str) -> None:
        """Remember a queue's options, in case Redis loses its data. Raises QueueNotFoundError."""
        self._known[queue] = self._broker.meta(queue)

    @property
    def paused(self) -> Mapping[str, str]:
        """What is paused in each queue, in words, as far as it is known."""
        held = self._pause_ends.held.items()
        return {
            queue: "; ".join(logs.escape(logs.cut(one.line(), 200)) for one in found[:3])
            for queue, found in held
            if found
        }

    def look_after(self, queue: str, shards: int) -> None:
        """End pauses whose time is over, delete old dead letters, and remember a queue's options.

        A queue that has vanished is created again.
        """
        self._pause_ends.tick(queue)
        self._retention.enforce(queue)
        if queue != logical_queue(queue):
            return
        try:
            self.remember(queue)
        except QueueNotFoundError:
            log(_logger, logging.ERROR, QUEUE_GONE, queue=queue)
            self.create(queue, shards)

    def create(self, queue: str, shards: int = 1) -> None:
        """Create a queue if a shard of it is missing: with the options that it had, or those that the app declares."""
        if all(self._exists(shard_of(queue, index)) for index in range(shards)):
            return  # nothing is written: so a pool can start, and empty a Redis that is full
        is_dead = self._broker.keys(queue).is_dead_letter_queue
        declared = self._declared(queue)
        default = QueueOptions(config_dead_letter_queue=not is_dead, shards=shards) if declared is None else declared
        options, implicit = self._known.get(queue, (default, declared is None))
        if self._broker.create(queue, options, implicit=implicit):
            log(_logger, logging.INFO, "queue did not exist and was created", queue=queue,
                dead_letter_queue=options.config_dead_letter_queue)  # fmt: skip
            self._declare_schedules(queue)

    def _declare_schedules(self, queue: str) -> None:
        """Store the schedules that the app declares, and mark those that it no longer declares."""
        if self.app is None or queue not in self.app.queues:
            return
        schedules, module = self.app.schedules_of(queue), self.app.module
        self._before_request()
        try:
            if not schedules and not self._broker.has_schedules(queue):
                return
            declare = operations.declare(self._broker.keys(queue), schedules, module, self._sealer)
            changed = self._broker.perform(declare)
        except (BrokerFullError, CommandRefusedError, ConfigurationError) as error:  # the next start tries again
            if not schedules:
                return
            log(_logger, logging.ERROR, "the app's schedules cannot be stored", queue=queue, error=str(error))
            return
        if changed:
            log(
                _logger, logging.INFO, "schedules of the app stored or marked", queue=queue, schedules=",".join(changed)
            )

    def _declared(self, queue: str) -> Optional[QueueOptions]:
        return None if self.app is None else self.app.options_of(queue)

    def _compare(self, queue: str, declared: QueueOptions) -> None:
        """Give the declared options to a queue whose options nobody has chosen; warn once if others were chosen."""
        stored, implicit = self._broker.meta(queue)
        if implicit and self._broker.create(queue, declared):
            log(_logger, logging.INFO, "queue has the options that the app declares", queue=queue)
            stored = self._broker.options(queue)
        difference = create.difference_of(queue, declared, stored)
        if difference and difference not in self._warned:
            self._warned.add(difference)
            log(_logger, logging.WARNING, difference)

    def _exists(self, queue: str) -> bool:
        self._before_request()
        return self._broker.exists(queue)
