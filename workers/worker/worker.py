"""A worker process: imports the handler, waits until it is registered, then runs messages one at a time."""

from __future__ import annotations

import logging
import os
import random
import signal
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.consumer.consumer import Consumer
from bizzmq.consumer.handlers.loader import HandlerImportError
from bizzmq.consumer.hooks import ClaimGate, ConsumerHooks, Journal
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.consumer.output import collector
from bizzmq.errors import BizzMQError, ConfigurationError
from bizzmq.protocol.sealing import Decode, decoder
from bizzmq.utils import clock, detached
from bizzmq.utils.logs import log
from bizzmq.utils.stop_event import StopEvent
from bizzmq.worker_state import WorkerState
from bizzmq.workers import exit_codes
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.slot_activity import SlotActivity
from bizzmq.workers.ipc.worker_messages import Booted, BootFailure, Hello
from bizzmq.workers.journal.file_format import server_of
from bizzmq.workers.journal.writer import WorkerJournal
from bizzmq.workers.preload import randomness
from bizzmq.workers.process import fork, output, syscalls
from bizzmq.workers.process.descendants import Descendants
from bizzmq.workers.process.process_state import ProcessState
from bizzmq.workers.process.title import Title
from bizzmq.workers.worker import capture, crash_hooks, handler_import, orderly_exit
from bizzmq.workers.worker.signals import WorkerSignals
from bizzmq.workers.worker.soft_limits import END_REQUESTS, OWN_MEANING, LimitedHandler
from bizzmq.workers.worker.supervisor_channel import SupervisorChannel

_logger = logging.getLogger("bizzmq.worker")

_DRAIN_GRACE_S = 2.0
_CHECK_INTERVAL_S = 0.005


@dataclass
class Worker:
    """One worker process, from its fork to its exit.

    Attributes:
        channel: to the supervisor; it closes when the supervisor dies.
        gate: whether workers may claim now; the supervisor sets it.
        supervisor_pid: the parent of this process, at the latest when the template's intermediate process has exited.
        stack: descriptor of the file to which faulthandler writes Python stacks.
        function: the handler, if the template has imported it.
        handlers: handlers that the import in the template has installed, by signal number.
        slot: number of the worker's slot in the pool.
    """

    worker_id: str
    url: str
    config: WorkerConfig
    activity: SlotActivity
    channel: Channel
    gate: ClaimGate
    supervisor_pid: int
    stack: int
    function: Any = None
    handlers: Mapping[int, Any] = field(default_factory=dict)
    slot: int = 0

    _stop: StopEvent = field(init=False)
    _shared: WorkerState = field(init=False)
    _title: Title = field(init=False)
    _signals: WorkerSignals = field(init=False)
    _supervisor: SupervisorChannel = field(init=False)
    _limited: LimitedHandler | None = field(default=None, init=False)
    _state: ProcessState | None = field(default=None, init=False)
    _next_check_s: float = field(default=0.0, init=False)
    _app: Mapping[str, Any] | None = field(default=None, init=False)

    def main(self) -> int:
        """Run the process from start to end, and return its exit code."""
        own = os.getpid()
        try:
            return self._run()
        finally:
            if os.getpid() == own:  # not in a copy that a handler has forked
                self._end_started_if_orphaned()

    def _run(self) -> int:
        self._set_up()
        try:
            limited = self._load_handler()
        except (ConfigurationError, HandlerImportError) as error:
            self.channel.send(handler_import.boot_failure_of(error))
            return exit_codes.CANNOT_BOOT
        problem = handler_import.memory_problem(self.config) if self.function is None else None
        if problem is not None:
            self.channel.send(BootFailure(problem, code=exit_codes.USAGE))
            return exit_codes.USAGE
        self._limited = limited
        self._tidy_up()  # the import, and hooks, may have installed other signal handlers
        self.activity.idle()
        self.channel.send(Booted(self._app))
        go = self._supervisor.wait_for_go(self._stop)
        if go is None:
            return self._exit_in_order(limited, ExitReason.DRAINED)
        crash_hooks.call(limited.chain, go.crashes, self.url, self._decode())
        return self._work(limited, tuple(go.without))

    def _set_up(self) -> None:
        """Install signals, report the pid, and tie this process to its supervisor."""
        self._stop, self._shared = StopEvent(), WorkerState()
        self._supervisor = SupervisorChannel(self.channel, self._leave)
        self._title = Title(f"worker {self.slot}", self.supervisor_pid, self.config.queues)
        self._title.show("booting")
        if self.activity.captured is not None:
            capture.redirect(self.activity.captured)
        self._signals = WorkerSignals(self._stop, self._leave, self.stack)
        self._signals.install()
        detached.mark(self.worker_id)
        self.channel.send(Hello(os.getpid()))
        syscalls.die_with_adopter(self.supervisor_pid, signal.SIGTERM, self._supervisor.is_gone)
        fork.unblock_signals()

    def _load_handler(self) -> LimitedHandler:
        """The handler under its limits, booted. Raises ConfigurationError or HandlerImportError."""
        limited = LimitedHandler(
            self._import_function(),
            self.activity,
            self.config.cpu_limit_s or None,
            self._is_caused_by_leaving,
            lambda since_ticks: Descendants().end_started(os.getpid(), self.worker_id, since_ticks),
        )
        if self.activity.captured is not None:
            capture.mark_messages(limited, self.activity.captured)
        limited.boot()
        self._state = ProcessState()
        limited.after_failure = self._state.restore
        output.buffer_by_line()  # the module may have replaced the standard streams
        return limited

    def _import_function(self) -> Any:
        if self.function is not None:
            randomness.renew()
            orderly_exit.disable_finalizers()
            for number, installed in self.handlers.items():
                signal.signal(number, installed)
            return self.function
        handler_import.prepare(self.config)
        function = handler_import.load(self.config)
        self._app = handler_import.description_of(function)
        return function

    def _work(self, limited: LimitedHandler, unregistered: Sequence[str]) -> int:
        """Run messages until the loop ends; returns the exit code."""
        self._title.show("working")
        collector.follow(lambda: limited.running)
        self.activity.on_holding_unwatched(self._supervisor.report_backlog)
        self.activity.before_waiting(self._tidy_up)
        try:
            reason = self._consumer(limited, unregistered).run()
        except BizzMQError as error:
            log(_logger, logging.ERROR, "the worker cannot go on", worker=self.worker_id, error=str(error))
            return exit_codes.INTERNAL_ERROR
        return self._exit_in_order(limited, reason)

    def _exit_in_order(self, limited: LimitedHandler, reason: ExitReason) -> int:
        """End what the boot hooks have begun, also in a worker that never ran a message; returns the exit code."""
        self.activity.left(reason)
        ends_s = self._shared.drain_at_s
        limit_s = self.config.drain_timeout_s if ends_s is None else ends_s - clock.monotonic()
        orderly_exit.shut_down(
            limit_s, exit_codes.DRAINED, limited.shut_down, limited.close, at_cut_off=self._end_started_if_orphaned
        )
        return exit_codes.DRAINED

    def _end_started_if_orphaned(self) -> None:
        """End what the handler has started, if the supervisor cannot do that any more. The janitor may be dead, too."""
        # A dying supervisor's channel closes before its children get another parent.
        if self.channel.closed or os.getppid() != self.supervisor_pid:
            Descendants().end_started(os.getpid(), self.worker_id)

    def _consumer(self, limited: LimitedHandler, unregistered: Sequence[str]) -> Consumer:
        config = self.config
        return Consumer(
            Broker(connect(self.url)), self.worker_id, config.queues, limited, self._stop,
            ConsumerOptions(
                prefetch=config.prefetch,
                block_s=config.block_s,
                max_messages=config.max_messages,
                replace_after=self._replace_after(),
                timeout_s=config.timeout_s,
                burst=config.burst,
                burst_patience_s=config.burst_patience_s,
                patience_s=config.drain_timeout_s,
            ),
            ConsumerHooks(
                activity=self.activity,
                gate=self.gate,
                journal=self._journal(),
                state=self._shared,
                is_orphaned=self._has_to_leave,
                descriptors=[self.channel.fileno()],
                on_max_messages=lambda: self._supervisor.request_recycling(spent=limited.is_spent),
                decode=self._decode(),
            ),
            unregistered=unregistered,
        )  # fmt: skip

    def _decode(self) -> Decode:
        return decoder(self.config.sealer())

    def _journal(self) -> Journal:
        config = self.config
        if not config.journal:
            return Journal()
        return WorkerJournal(config.journal, self.worker_id, server_of(config.redis_url))

    def _replace_after(self) -> int:
        """`max_messages`, reduced by up to a tenth at random so that workers do not all leave at once; 0 for never."""
        number = self.config.max_messages
        return max(1, number - random.randint(0, number // 10)) if number else 0

    def _leave(self) -> None:
        """Start no other message, and leave. The supervisor sends SIGTERM and `Leave`, since either may be lost."""
        first, timeout_s = not self._stop.requested, self.config.drain_timeout_s
        self._stop.request()
        if first:
            self._title.show("draining")
            self._shared.drain_at_s = clock.monotonic() + timeout_s
            if os.getppid() != self.supervisor_pid:
                # Without a supervisor, nothing else ends a handler that never returns.
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, timeout_s + _DRAIN_GRACE_S)
            elif self._limited is not None:
                self._limited.begin_drain(timeout_s)

    def _tidy_up(self) -> None:
        """From time to time between messages: undo what they have changed, and flush unfinished lines of output."""
        output.flush()
        if self._state is not None:
            self._state.restore()
        self._signals.restore()
        if self._limited is not None and not self._stop.requested:
            self._limited.restore_signals()

    def _is_caused_by_leaving(self, error: BaseException) -> bool:
        """Whether a message has failed only because this worker has to leave.

        True if another handler received the SIGTERM, since that may raise anything, or if the error is one that asks
        code to end. A handler's decision and a limit keep their meaning.
        """
        self._supervisor.check()
        is_leaving = self._stop.requested or self._supervisor.closed
        if not is_leaving or isinstance(error, OWN_MEANING):
            return False
        return not self._signals.sigterm_received or isinstance(error, END_REQUESTS)

    def _has_to_leave(self) -> bool:
        """Whether to stop claiming. Called before each claim; checks the channel every 5 ms, to save system calls."""
        now_s = clock.monotonic()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + _CHECK_INTERVAL_S
            self._supervisor.check()
            self._tidy_up()
        return self._supervisor.closed or self._stop.requested
