"""A worker process: import the handler, wait for leave to start, run messages one at a time, go."""

from __future__ import annotations

import logging
import os
import random
import signal
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from bizzmq import clock, handler, offspring
from bizzmq.broker import Broker
from bizzmq.connection import readable
from bizzmq.connections import connect
from bizzmq.consumer import Consumer
from bizzmq.context import Deadline
from bizzmq.errors import BizzMQError, ConfigurationError
from bizzmq.logs import log
from bizzmq.loop import ConsumerOptions, Leave
from bizzmq.record import Gate
from bizzmq.signing import Signer, decoder
from bizzmq.stop import Stop
from bizzmq.workers import ending, exits, importing, platform, spawn
from bizzmq.workers.boot import BOOTED, FAILED, GO, HELLO, BootFailure, failure_of
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.descendants import Descendants
from bizzmq.workers.journal import WorkerJournal
from bizzmq.workers.journal_file import server_of
from bizzmq.workers.limits import DECIDED, ENDS, LimitedHandler
from bizzmq.workers.memory import limit_below_start
from bizzmq.workers.preload import randomness
from bizzmq.workers.scoreboard import SlotRecord
from bizzmq.workers.titles import Title
from bizzmq.workers.worker_signals import WorkerSignals

_logger = logging.getLogger("bizzmq.worker")

LEAVE = "leave"
RECYCLE = "recycle"
HOLDING = "holding"
_DRAIN_GRACE_S = 2.0
_LOOK_S = 0.005
_NUDGE_S = 0.1


@dataclass
class Worker:
    """What a forked worker starts from.

    Attributes:
        channel: to the supervisor; its end of file is the supervisor's death.
        gate: what the supervisor tells all workers.
        supervisor_pid: whose child this worker is, or becomes when the template has forked it.
        stack: descriptor of the file for faulthandler's stacks.
        function: the handler, if the template has imported it.
        slot: the number of its place in the pool.
    """

    worker_id: str
    url: str
    config: WorkerConfig
    record: SlotRecord
    channel: Channel
    gate: Gate
    supervisor_pid: int
    stack: int
    function: Any = None
    slot: int = 0

    _stop: Stop = field(init=False)
    _drain: Deadline = field(init=False)
    _title: Title = field(init=False)
    _signals: WorkerSignals = field(init=False)
    _limited: LimitedHandler | None = field(default=None, init=False)
    _look_at_s: float = field(default=0.0, init=False)
    _nudge_at_s: float = field(default=0.0, init=False)

    def main(self) -> int:
        """The whole life of the process; returns its exit code."""
        stop, drain = self._stop, self._drain = Stop(), Deadline()
        title = self._title = Title(f"worker {self.slot}", self.supervisor_pid, self.config.queues)
        title.show("booting")
        self._signals = WorkerSignals(stop, self._leave, self.stack)
        self._signals.install()
        offspring.mark(self.worker_id)
        self.channel.send(op=HELLO, pid=os.getpid())
        platform.wait_for_parent(self.supervisor_pid)
        platform.die_with_parent(signal.SIGTERM)
        spawn.unblock_signals()
        try:
            function = LimitedHandler(
                self._function(),
                self.record,
                self.config.cpu_limit_s or None,
                self._is_due_to_leaving,
                lambda since_ticks: Descendants().end_started(os.getpid(), self.worker_id, since_ticks),
            )
            function.boot()
        except (ConfigurationError, handler.HandlerImportError) as error:
            self.channel.send(op=FAILED, **failure_of(error))
            return exits.CANNOT_BOOT
        too_large = limit_below_start(self.config) if self.function is None else ""
        if too_large:
            self.channel.send(op=FAILED, **BootFailure(too_large, code=exits.USAGE)._asdict())
            return exits.USAGE
        self._limited = function
        self._signals.put_back()  # the import may have installed others
        self.record.idle()
        self.channel.send(op=BOOTED)
        without = self._wait_for_leave_to_start(stop)
        if without is None:
            self.record.left(Leave.DRAINED)
            return exits.DRAINED
        title.show("working")
        self.record.nudge_by(self._say_that_it_holds_several)
        self.record.before_waiting(self._put_signals_back)
        consumer = Consumer(
            Broker(connect(self.url)), self.worker_id, self.config.queues, function, stop, self.record,
            ConsumerOptions(
                prefetch=self.config.prefetch,
                block_s=self.config.block_s,
                max_messages=self.config.max_messages,
                replace_after=self._replace_after(),
                timeout_s=self.config.timeout_s,
                burst=self.config.burst,
                burst_patience_s=self.config.burst_patience_s,
                patience_s=self.config.drain_timeout_s,
            ),
            drain=drain,
            lifeline=self._supervisor_is_gone,
            lifeline_descriptors=[self.channel.fileno()],
            gate=self.gate,
            on_max_messages=self._ask_for_recycling,
            journal=self._journal(),
            unregistered=without,
            decode=decoder(Signer(self.config.signing_keys) if self.config.signing_keys else None),
        )  # fmt: skip
        try:
            leave = consumer.run()
        except BizzMQError as error:
            log(_logger, logging.ERROR, "the worker cannot go on", worker=self.worker_id, error=str(error))
            return exits.INTERNAL_ERROR
        self.record.left(leave)
        ends_s = self._drain.at_s
        limit_s = self.config.drain_timeout_s if ends_s is None else ends_s - clock.monotonic()
        ending.end_in_order(limit_s, exits.DRAINED, function.shut_down, function.close)
        # The channel of a dying supervisor ends before its children have another parent. The janitor may be gone, too.
        if self.channel.closed or os.getppid() != self.supervisor_pid:
            Descendants().end_started(os.getpid(), self.worker_id)
        return exits.DRAINED

    def _journal(self) -> WorkerJournal | None:
        config = self.config
        return WorkerJournal(config.journal, self.worker_id, server_of(config.redis_url)) if config.journal else None

    def _function(self) -> Any:
        if self.function is not None:
            randomness.renew()
            ending.leave_finalizers()
            return self.function
        importing.prepare(self.config)
        return importing.load(self.config)

    def _leave(self) -> None:
        """Start no other message, and leave. The supervisor says so by SIGTERM and by LEAVE; either may not come."""
        first, timeout_s = not self._stop.requested, self.config.drain_timeout_s
        self._stop.request()
        if first:
            self._title.show("draining")
            self._drain.at_s = clock.monotonic() + timeout_s
            if os.getppid() != self.supervisor_pid:
                # Nobody else is left to end a handler that never returns.
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, timeout_s + _DRAIN_GRACE_S)
            elif self._limited is not None:
                self._limited.drain_begins(timeout_s)

    def _put_signals_back(self) -> None:
        self._signals.put_back()
        if self._limited is not None and not self._stop.requested:
            self._limited.put_signals_back()

    def _is_due_to_leaving(self, error: BaseException) -> bool:
        """Whether a message failed only because this worker was told to leave.

        It did if the SIGTERM was handled by something else, which may raise what it likes, or if the error is one that
        stands for an end. A handler's decision and a limit stay what they are.
        """
        self._hear()
        is_told = self._stop.requested or self.channel.closed
        if not is_told or isinstance(error, DECIDED):
            return False
        return not self._signals.came or isinstance(error, ENDS)

    def _replace_after(self) -> int:
        """The number of messages, less up to a tenth, so that workers do not all leave at once; 0 for never."""
        number = self.config.max_messages
        return max(1, number - random.randint(0, number // 10)) if number else 0

    def _ask_for_recycling(self) -> None:
        self.channel.send(op=RECYCLE)

    def _wait_for_leave_to_start(self, stop: Stop) -> Sequence[str] | None:
        """Wait until the supervisor says that this worker is registered; None if it is to leave instead.

        Returns the queues on which it is not, for a trouble of their own.
        """
        while not stop.requested:
            for message in self._hear():
                if message["op"] == GO:
                    return tuple(message["without"])
            if self.channel.closed:
                return None
            stop.wait(60.0, self.channel.fileno())
        return None

    def _say_that_it_holds_several(self) -> None:
        """Not at each claim: a supervisor that stands still is told no more than it can take."""
        now_s = clock.monotonic()
        if now_s >= self._nudge_at_s:
            self._nudge_at_s = now_s + _NUDGE_S
            self.channel.send(op=HOLDING)

    def _supervisor_is_gone(self) -> bool:
        """Asked before each claim, looked at every few milliseconds: it costs system calls."""
        now_s = clock.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_S
            self._hear()
            self._put_signals_back()
        return self.channel.closed or self._stop.requested

    def _hear(self) -> list[Mapping[str, Any]]:
        """What the supervisor has said."""
        if not readable(0.0, self.channel.fileno()):
            return []
        said = self.channel.receive()
        if any(message["op"] == LEAVE for message in said):
            self._leave()
        return said
