"""Inline: publishing a message of a task runs the task at once, in the same process and without Redis."""

from __future__ import annotations

import contextvars
import logging
import os
from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Mapping, Optional, Sequence

from bizzmq.app.in_tests.app_in_test import AppInTest
from bizzmq.app.in_tests.caller_handler import CallerHandler, is_for_the_test
from bizzmq.app.in_tests.recording import Encoded, RecordingClient
from bizzmq.app.published import PublishedMessage, Run
from bizzmq.consumer.retry_decision import Ack, MoveToDeadLetters, Postpone, Release, Retry, Settlement, settle
from bizzmq.consumer.settlement import notify
from bizzmq.context import Context
from bizzmq.errors import BizzMQError
from bizzmq.message import Message, MessageOptions
from bizzmq.middleware.chain import HandlerChain
from bizzmq.properties import NO_PROPERTIES
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.envelope import decode_body, decode_envelope
from bizzmq.protocol.error_record import error_record
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.results import SUCCEEDED, Ending
from bizzmq.queue import QueueOptions
from bizzmq.results.awaited import Resolution, not_kept
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.worker_state import WorkerState

_logger = logging.getLogger("bizzmq.testing")
MAX_RUNS = 1000
_NOT_CHOSEN = QueueOptions(config_dead_letter_queue=True)
_chain: contextvars.ContextVar[Optional[_Chain]] = contextvars.ContextVar("bizzmq_inline", default=None)


class InlineClient(RecordingClient):
    """Runs what is published. See `App.inline`.

    Args:
        reraise: publishing raises the error of a task that has failed for good.
        max_runs: the most attempts that follow from one call of publish.

    Attributes:
        published: what was published, in that order.
        runs: the attempts, in that order.
    """

    what = "app.inline()"

    def __init__(self, app: AppInTest, published: List[PublishedMessage], *, reraise: bool, max_runs: int) -> None:
        super().__init__(published, app.middleware)
        self.runs: List[Run] = []
        self.reraise, self.max_runs = reraise, max_runs
        self.ends: Dict[str, Run] = {}
        self.results: Dict[str, bytes] = {}
        self._app = app
        self._handlers: List[CallerHandler] = []
        self._made_for: Any = None

    def _publish(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None, task: str = "", version: int = 1
    ) -> List[str]:
        recorded = self._recorded(queue_name, messages, options, task, version)
        if task:
            self._run(recorded)
        return [one.id for one in recorded]

    def _run(self, messages: Sequence[Encoded]) -> None:
        """Run messages now; those that a task of this client publishes, once that task has ended."""
        chain = _chain.get()
        if chain is not None and chain.client is self and not chain.is_over:
            chain.waiting.extend(messages)
        else:
            _Chain(self, messages).run()

    def finish(self, message_id: str) -> None:
        """Run this message now, if it waits for the end of the task that asks for it."""
        chain = _chain.get()
        for one in chain.waiting if chain is not None and chain.client is self else ():
            if one.id == message_id:
                assert chain is not None
                chain.waiting.remove(one)
                chain.run_one(one)
                return

    def _local_resolution(self, message_id: str) -> Resolution | None:
        """What has become of a message. One that waits for the end of the task that asks is run now."""
        self.finish(message_id)
        run, result = self.ends.get(message_id), self.results.get(message_id)
        if result is not None:
            return Ending(SUCCEEDED, result)
        if run is None or run.state == "waiting":
            raise TimeoutError(f"message {message_id} has not run: no result comes without Redis")
        return not_kept(message_id) if run.error is None else Ending(run.state, error=record_of(run.error))

    def take_handler(self) -> CallerHandler:
        """A handler that runs nothing now, made in this process: another process's would end a fork of it."""
        made_for = (os.getpid(), self._app.tasks)
        if self._made_for != made_for:
            self._handlers, self._made_for = [], made_for
        return self._handlers.pop() if self._handlers else CallerHandler(self._app.dispatcher())

    def give_back(self, handler: CallerHandler) -> None:
        self._handlers.append(handler)

    def close_handlers(self) -> None:
        """Close the event loops of the handlers."""
        while self._handlers:
            self._handlers.pop().close()

    def options_of(self, queue: str) -> tuple[QueueOptions, bool]:
        """The options of a queue, and whether nobody has chosen them."""
        options = self._app.queues.get(queue)
        return (_NOT_CHOSEN, True) if options is None else (options, False)


class _Chain:
    """What runs because of one call of publish: its messages, and those that their tasks publish."""

    def __init__(self, client: InlineClient, messages: Sequence[Encoded]) -> None:
        self.client = client
        self.waiting: Deque[Encoded] = deque(messages)
        self.is_over = False
        self._runs = 0

    def run(self) -> None:
        """Run all messages, each with its retries."""
        try:
            while self.waiting:
                self.run_one(self.waiting.popleft())
        finally:
            self.is_over = True

    def run_one(self, message: Encoded) -> None:
        """Run a message and its retries at once.

        Raises:
            BizzMQError: this would never end.
        """
        options, is_implicit = self.client.options_of(message.queue)
        attempts: Attempts | None = Attempts(retries=options.retry)
        slept_s = 0.0
        while attempts is not None:
            self._runs += 1
            if self._runs > self.client.max_runs:
                raise endless(self.client.runs, self.client.max_runs)
            handler = self.client.take_handler()
            try:
                context = contextvars.copy_context()
                attempt = _Attempt(self, handler, message, options, is_implicit=is_implicit)
                decision = context.run(attempt.run, attempts, slept_s)
            finally:
                self.client.give_back(handler)
            slept_s += decision.delay_s if isinstance(decision, Retry) else 0.0
            attempts = decision.attempts if isinstance(decision, Retry) else None


class _Attempt:
    """One attempt of a message."""

    def __init__(
        self, chain: _Chain, handler: CallerHandler, encoded: Encoded, options: QueueOptions, *, is_implicit: bool
    ) -> None:
        self._chain, self._handler, self._options = chain, handler, options
        self._message = decode_envelope(*encoded)
        self._arguments = decode_envelope(*encoded).body  # the task may change its own
        self._properties = self._message.properties or NO_PROPERTIES
        self._policy = handler.policy_of(self._properties, options, is_implicit=is_implicit)

    def run(self, attempts: Attempts, slept_s: float) -> Settlement:
        """Run it, record it, and decide as a worker does.

        Args:
            slept_s: the delays that were skipped, seconds.
        """
        client, message = self._chain.client, self._message
        _chain.set(self._chain)
        result = self._result(attempts)
        error = result if isinstance(result, BaseException) else None
        if error is not None and is_for_the_test(error):
            raise error
        decision = settle(
            error, attempts, message.retries, self._options, is_dead_letter_queue=message.queue.endswith("_dlq"),
            policy=self._policy, published_at_s=published_us(message.id) / 1e6 - slept_s,
        )  # fmt: skip
        run = run_of(message, self._arguments, attempts, decision, error)
        client.runs.append(run)
        client.ends[message.id] = run
        if self._handler.chain is not None and error is not None:
            self._notify(self._handler.chain, decision, attempts, error)
        if isinstance(result, bytes):
            client.results[message.id] = result
        if error is not None:
            log_failure(run, error)
            if client.reraise and run.is_final_failure:
                raise error
        return decision

    def _notify(self, chain: HandlerChain, decision: Settlement, attempts: Attempts, error: BaseException) -> None:
        """Call the middleware's hooks for a decision, as a worker does."""
        record = error_record(error, queue=self._message.queue, worker="inline", attempts=attempts)
        notify(chain, decision, error, record)

    def _result(self, attempts: Attempts) -> BaseException | bytes | None:
        message = self._message
        timeout_s = message.timeout_s or self._policy.timeout_s
        context = Context(message, attempts, clock.monotonic(), timeout_s, WorkerState())
        if self._properties.result_ttl_s:
            return self._handler.run_for_result(message.body, context)
        return self._handler.run(message.body, context)


def record_of(error: BaseException) -> Mapping[str, Any]:
    """The record of an error, as a dead letter has it."""
    record: Mapping[str, Any] = decode_body(error_record(error, queue="", worker="inline", attempts=Attempts()))
    return record


def run_of(
    message: Message, arguments: Any, attempts: Attempts, decision: Settlement, error: BaseException | None
) -> Run:
    """An attempt and its decision as a value."""
    delay_s = decision.delay_s if isinstance(decision, (Retry, Postpone)) else None
    task = (message.properties or NO_PROPERTIES).task
    return Run(
        task, arguments, state_after(decision), message.queue, attempts.delivery, delay_s, message.id, error
    )  # fmt: skip


def state_after(decision: Settlement) -> str:
    """The state of a message after a decision about it, as in `Run`."""
    if isinstance(decision, Ack):
        return "succeeded"
    if isinstance(decision, Retry):
        return "failed"
    if isinstance(decision, (Postpone, Release)):
        return "waiting"
    return "dead_lettered" if isinstance(decision, MoveToDeadLetters) else "discarded"


def log_failure(run: Run, error: BaseException) -> None:
    """Log a failed attempt, so that a test that fails shows it."""
    level = logging.ERROR if run.is_final_failure else logging.WARNING
    log(_logger, level, "a task has failed", task=run.task, id=run.id, state=run.state, delivery=run.delivery,
        error=error)  # fmt: skip


def endless(runs: Sequence[Run], limit: int) -> BizzMQError:
    """The error for work that does not end."""
    names = ", ".join(sorted({run.task for run in runs[-10:]}))
    return BizzMQError(
        f"{limit} attempts have run and there is still work: a task publishes itself, or is retried, without an end "
        f"(the last ones: {names}); raise the limit if that is intended"
    )
