"""A worker process: import the handler, wait for leave to start, run messages one at a time, go."""

from __future__ import annotations

import logging
import select
import signal
import traceback
from dataclasses import dataclass
from types import FrameType
from typing import Any

from bizzmq import clock, handler
from bizzmq.broker import Broker
from bizzmq.connection import Connection
from bizzmq.consumer import Consumer
from bizzmq.context import Deadline
from bizzmq.errors import BizzMQError, ConfigurationError
from bizzmq.logs import log
from bizzmq.loop import ConsumerOptions, Leave
from bizzmq.stop import Stop
from bizzmq.workers import exits, platform, spawn
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.scoreboard import SlotRecord

_logger = logging.getLogger("bizzmq.worker")

GO = "go"
BOOTED = "booted"
FAILED = "failed"
_DRAIN_GRACE_S = 2.0


@dataclass
class Worker:
    """What a forked worker starts from.

    Attributes:
        channel: to the supervisor; its end of file is the supervisor's death.
    """

    worker_id: str
    url: str
    config: WorkerConfig
    record: SlotRecord
    channel: Channel

    def main(self) -> int:
        """The whole life of the process; returns its exit code."""
        stop, drain = Stop(), Deadline()
        self._install_signals(stop, drain)
        platform.die_with_parent(signal.SIGTERM)
        spawn.unblock_signals()
        try:
            function = handler.Handler(self._function())
        except ConfigurationError as error:
            self.channel.send(op=FAILED, error=str(error), traceback="")
            return exits.CANNOT_BOOT
        except handler.HandlerImportError as error:
            self.channel.send(op=FAILED, error=_import_error(error), traceback=_users_traceback(error))
            return exits.CANNOT_BOOT
        self.record.idle()
        self.channel.send(op=BOOTED)
        if not self._may_start(stop):
            self.record.left(Leave.DRAINED)
            return exits.DRAINED
        consumer = Consumer(
            Broker(Connection(self.url)), self.worker_id, self.config.queues, function, stop, self.record,
            ConsumerOptions(
                prefetch=self.config.prefetch,
                block_s=self.config.block_s,
                max_messages=self.config.max_messages,
                burst=self.config.burst,
                patience_s=self.config.drain_timeout_s,
            ),
            drain=drain,
            lifeline=self._supervisor_is_gone,
            lifeline_descriptors=[self.channel.fileno()],
        )  # fmt: skip
        try:
            leave = consumer.run()
        except BizzMQError as error:
            log(_logger, logging.ERROR, "the worker cannot go on", worker=self.worker_id, error=str(error))
            return exits.INTERNAL_ERROR
        finally:
            function.close()
        self.record.left(leave)
        return exits.DRAINED

    def _function(self) -> Any:
        given = self.config.handler
        return handler.load(given) if isinstance(given, str) else given

    def _install_signals(self, stop: Stop, drain: Deadline) -> None:
        def request_stop(_number: int, _frame: FrameType | None) -> None:
            if not stop.requested:
                drain.at_s = clock.monotonic() + self.config.drain_timeout_s
                # Should the supervisor be gone, too, nobody else ends a handler that never returns.
                signal.setitimer(signal.ITIMER_REAL, self.config.drain_timeout_s + _DRAIN_GRACE_S)
            stop.request()

        signal.signal(signal.SIGTERM, request_stop)
        signal.set_wakeup_fd(stop.wakeup_descriptor, warn_on_full_buffer=False)

    def _may_start(self, stop: Stop) -> bool:
        """Wait until the supervisor says that this worker is registered; False if it is to leave instead."""
        while not stop.requested:
            if any(message["op"] == GO for message in self.channel.receive()):
                return True
            if self.channel.closed:
                return False
            stop.wait(60.0, self.channel.fileno())
        return False

    def _supervisor_is_gone(self) -> bool:
        poller = select.poll()
        poller.register(self.channel.fileno(), select.POLLIN)
        if poller.poll(0):
            self.channel.receive()
        return self.channel.closed


def _import_error(error: handler.HandlerImportError) -> str:
    cause = error.__cause__
    return f"{error}: {type(cause).__name__}: {cause}"


def _users_traceback(error: handler.HandlerImportError) -> str:
    """The traceback of an import that raised, from the user's first line on."""
    cause = error.__cause__
    if cause is None:
        return ""
    return "".join(traceback.format_exception(type(cause), cause, handler.from_user(cause.__traceback__)))
