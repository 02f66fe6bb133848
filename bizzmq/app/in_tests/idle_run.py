"""Runs the messages of an app in the thread of the caller until nothing is left to do."""

from __future__ import annotations

import copy
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any, List, NamedTuple

from bizzmq.app.in_tests.app_in_test import AppInTest
from bizzmq.app.in_tests.caller_handler import CallerHandler, is_for_the_test
from bizzmq.app.in_tests.inline import endless
from bizzmq.app.in_tests.moved_clock import MovedClock
from bizzmq.app.published import Run
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.client import decoder_of, new_broker
from bizzmq.connection.retry import StoppedWhileUnavailable
from bizzmq.consumer.consumer import Consumer
from bizzmq.consumer.hooks import ConsumerHooks
from bizzmq.consumer.lease import Lease
from bizzmq.consumer.options import ConsumerOptions
from bizzmq.context import Context
from bizzmq.errors import BizzMQError, Draining, UnknownTaskError
from bizzmq.message import Message
from bizzmq.protocol import ids
from bizzmq.utils.stop_event import StopEvent
from bizzmq.validation import checks

_OPTIONS = ConsumerOptions(prefetch=1, block_s=0.05, patience_s=1.0)
_LOOK_AGAIN_S = 0.02
"""The interval at which messages that other workers hold are looked for again, seconds."""


class Limits(NamedTuple):
    """How far an idle run goes; see `App.run_until_idle`."""

    timeout_s: float
    max_runs: int
    advance: bool
    reraise: bool

    @classmethod
    def checked(cls, timeout_s: Any, max_runs: Any, *, advance: Any, reraise: Any) -> Limits:
        """Limits from values that a user gives. Raises ConfigurationError."""
        limit_s = threading.TIMEOUT_MAX
        if timeout_s is not None:
            limit_s = checks.seconds("timeout_s", timeout_s, otherwise=", or None")
        return cls(
            limit_s, checks.integer("max_runs", max_runs, 1), checks.flag("advance", advance),
            checks.flag("reraise", reraise),
        )  # fmt: skip


class RunLog:
    """The attempts that have run.

    Attributes:
        runs: the attempts, in that order.
        interrupt: the error that ends the test instead of an attempt; None if there is none.
    """

    def __init__(self) -> None:
        self.runs: List[Run] = []
        self.interrupt: BaseException | None = None

    def ran(self, context: Context, arguments: Any, error: BaseException | None) -> None:
        """Note an attempt. `settled` follows if it has failed."""
        state = "succeeded" if error is None else "failed"
        self.runs.append(Run(context.task, arguments, state, context.queue, context.delivery, None, context.id, error))

    def refused(self, message: Message, error: BaseException) -> None:
        """Note a message that no task of the app may run. `settled` follows."""
        delivery = 1 + sum(run.id == message.id for run in self.runs)
        task = message.properties.task if message.properties is not None else ""
        self.runs.append(Run(task, message.body, "waiting", message.queue, delivery, None, message.id, error))

    def watch(self, broker: Any) -> None:
        """Note the outcomes that this broker sends."""
        retry, dead_letter, discard = broker.retry, broker.dead_letter, broker.discard

        def noted_retry(*args: Any, is_failure: bool = True) -> Any:
            self._settled(args[2], "failed" if is_failure else "waiting", args[5] / 1000)
            return retry(*args, is_failure=is_failure)

        def noted_dead_letter(*args: Any, **options: Any) -> Any:
            self._settled(args[2], "dead_lettered")
            return dead_letter(*args, **options)

        def noted_discard(*args: Any, **options: Any) -> Any:
            self._settled(args[2], "discarded")
            return discard(*args, **options)

        broker.retry, broker.dead_letter, broker.discard = noted_retry, noted_dead_letter, noted_discard

    def _settled(self, message_id: Any, state: str, delay_s: float | None = None) -> None:
        if self.runs and self.runs[-1].id == message_id:
            self.runs[-1] = replace(self.runs[-1], state=state, delay_s=delay_s)


class LoggingHandler(CallerHandler):
    """Notes what it runs. An error that is for the test itself stops the loop, and its message goes back unblamed."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._runs: RunLog = RunLog()
        self._stop: StopEvent | None = None

    def use(self, runs: RunLog, stop: StopEvent) -> None:
        """Note what runs from now on there."""
        self._runs, self._stop = runs, stop

    def run(self, body: Any, context: Context) -> BaseException | None:
        if self._keeps_result:  # called by run_for_result
            return super().run(body, context)
        arguments = copy.deepcopy(body)
        return self._noted(context, arguments, super().run(body, context))

    def run_for_result(self, body: Any, context: Context) -> BaseException | bytes:
        arguments = copy.deepcopy(body)
        result = super().run_for_result(body, context)
        failure = self._noted(context, arguments, result if isinstance(result, BaseException) else None)
        return result if failure is None else failure

    def refusal_of(self, message: Message) -> UnknownTaskError | None:
        refusal = super().refusal_of(message)
        if refusal is not None:
            self._runs.refused(message, refusal)
        return refusal

    def _noted(self, context: Context, arguments: Any, error: BaseException | None) -> BaseException | None:
        if error is not None and is_for_the_test(error):
            self._runs.interrupt = error
            assert self._stop is not None
            self._stop.request()
            return Draining("the test ends")
        self._runs.ran(context, arguments, error)
        return error


class IdleRun:
    """A worker in the caller's thread. Its lease is kept in another one, so that a debugger may stop this thread.

    Args:
        handler: runs the messages; None makes one and closes it at the end.

    Raises (from `run`):
        TimeoutError: there is still work after `timeout_s`.
        BizzMQError: the work does not end, or Redis is in trouble.
    """

    def __init__(self, app: AppInTest, limits: Limits, handler: LoggingHandler | None = None) -> None:
        self._queues = list(app.queues)
        for queue in self._queues:
            app.create_queue(queue)
        self._limits = limits
        self._log = RunLog()
        self._stop = StopEvent()
        self._broker, self._lease_broker = new_broker(app.client), new_broker(app.client)
        self._log.watch(self._broker)
        self._handler, self._is_own_handler = handler or LoggingHandler(app.dispatcher()), handler is None
        self._handler.use(self._log, self._stop)
        self._hooks = ConsumerHooks(decode=decoder_of(app.client))
        supervisor = ids.supervisor_id()
        self._worker = ids.worker_id(supervisor, 0)
        self._lease = Lease(self._lease_broker, supervisor, self._queues)
        self._lease_end = threading.Event()

    @property
    def runs(self) -> List[Run]:
        """The attempts so far."""
        return self._log.runs

    def run(self) -> List[Run]:
        """Run everything."""
        leasing = threading.Thread(target=self._keep_lease, name="bizzmq-lease", daemon=True)
        timer = threading.Timer(self._limits.timeout_s, self._stop.request)
        timer.daemon = True
        try:
            self._lease.register(self._worker)
            leasing.start()
            timer.start()
            self._work()
        finally:
            timer.cancel()
            self._lease_end.set()
            if leasing.ident is not None:
                leasing.join()
            self._sign_off()
        return self._log.runs

    def _work(self) -> None:
        consumer = Consumer(
            self._broker, self._worker, self._queues, self._handler, self._stop, _OPTIONS, self._hooks
        )  # fmt: skip
        shards = [shard for queue in self._queues for shard in self._broker.shards(queue)]
        moved_clock = MovedClock(self._broker, shards)
        try:
            consumer.learn_shards()
            while self._goes_on():
                look = moved_clock.look()
                if look.ready or look.due_s == 0.0:
                    consumer.tick()
                    continue
                consumer.send_finished()
                if self._limits.advance and look.due_s is not None:
                    moved_clock.advance(look.due_s)
                    continue
                if not self._is_held_elsewhere(shards):
                    return
                self._stop.wait(_LOOK_AGAIN_S)
        except StoppedWhileUnavailable:
            pass
        finally:
            self._stop.request()
            with suppress(StoppedWhileUnavailable):
                consumer.tick()  # sends what is finished
        self._raise_unfinished()

    def _goes_on(self) -> bool:
        runs, limits = self._log.runs, self._limits
        if limits.reraise and runs and runs[-1].is_final_failure:
            assert runs[-1].error is not None
            raise runs[-1].error
        if len(runs) >= limits.max_runs:
            raise endless(runs, limits.max_runs)
        return not self._stop.requested

    def _raise_unfinished(self) -> None:
        if self._log.interrupt is not None:
            raise self._log.interrupt
        raise TimeoutError(f"the app's queues were not idle within {self._limits.timeout_s:g} s")

    def _is_held_elsewhere(self, shards: List[str]) -> bool:
        delayed = sum(int(self._broker.connection.execute("ZCARD", self._broker.keys(one).delayed)) for one in shards)
        return sum(map(self._broker.outstanding, shards)) > delayed

    def _keep_lease(self) -> None:
        while True:
            try:
                wait_s = self._lease.tick()
            except BizzMQError:
                wait_s = 0.5
            if self._lease_end.wait(wait_s):
                return

    def _sign_off(self) -> None:
        """End the registrations. What the worker still holds after an interrupt goes back."""
        if self._is_own_handler:
            self._handler.close()
        self._broker.connection.drop()  # an interrupted request may have left a reply
        try:
            for queue in self._queues:
                for shard in self._lease.shards_of(queue):
                    self._broker.requeue(shard, self._worker, DeadWorker(DeathKind.STOPPED))
            self._lease.unregister()
        except BizzMQError:
            return  # the lease returns what is held
        finally:
            self._broker.connection.drop()
            self._lease_broker.connection.drop()
            self._stop.close()


def move_clock(app: AppInTest, seconds: float) -> int:
    """See `App.advance_clock`."""
    broker: Broker = new_broker(app.client)
    try:
        shards = [shard for queue in app.queues for shard in broker.shards(queue)]
        return MovedClock(broker, shards).advance(seconds)
    finally:
        broker.connection.drop()
