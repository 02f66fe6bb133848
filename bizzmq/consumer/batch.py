"""The batch runner: runs the messages of one claim."""

from __future__ import annotations

import logging
import math
from typing import Any, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.consumer import failpoints
from bizzmq.consumer.claims import Claimer
from bizzmq.consumer.failed_messages import FailedMessages
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.hooks import ConsumerHooks
from bizzmq.consumer.message_records import MessageRecords
from bizzmq.consumer.options import ConsumerOptions
from bizzmq.consumer.prefetch import AdaptivePrefetch
from bizzmq.consumer.queues.order import QueueOrder
from bizzmq.consumer.run_plan import RunPlan, RunPlanner
from bizzmq.consumer.settlement import FailedAttempt, Settler
from bizzmq.context import Context
from bizzmq.errors import DecodeError
from bizzmq.message import Message
from bizzmq.metrics.meter import Meter, NoMeter
from bizzmq.properties import MessageProperties
from bizzmq.protocol.attempts import NO_ATTEMPTS, Attempts
from bizzmq.protocol.ids import match_message_id
from bizzmq.protocol.results import KeptResult, success_text, ttl_text
from bizzmq.queue import QueueOptions
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.utils.stop_event import StopEvent

_logger = logging.getLogger("bizzmq.consumer")
_WALL_CLOCK_S = 1.0
"""How long the difference between the wall clock and the monotonic clock is used, seconds."""


class BatchRunner:
    """Runs what one worker claims.

    Attributes:
        handled: the number of messages that were run, failed ones included.
        meter: measures them.
    """

    def __init__(
        self,
        broker: Broker,
        worker: str,
        handler: Handler,
        claimer: Claimer,
        queue_order: QueueOrder,
        prefetch: AdaptivePrefetch,
        *,
        stop: StopEvent,
        options: ConsumerOptions,
        hooks: ConsumerHooks,
    ) -> None:
        self._broker = broker
        self._worker = worker
        self._handler = handler
        self._claimer = claimer
        self._queue_order = queue_order
        self._prefetch = prefetch
        self._stop = stop
        self._max_messages = options.max_messages
        self._timeout_s = options.timeout_s or None
        self._activity = hooks.activity
        self._state = hooks.state
        records = MessageRecords(broker, worker, hooks.activity, handler.version_of, handler.is_awaited_here)
        self._state.records = records
        self._decode = hooks.decode
        self._settler = Settler(broker, worker)
        self._queue_options = claimer.options
        self._failpoint = failpoints.armed()
        table = hooks.activity.metrics
        self.meter = NoMeter() if table is None else Meter(table, owns_process=hooks.activity.owns_process)
        self._failed = FailedMessages(handler, claimer, self._settler, records, hooks.activity, self.meter)
        self._planner = RunPlanner(broker, handler, claimer, records, self._timeout_s)
        self._plans: dict[int, RunPlan] = {}
        self._series = ""  # of the last message
        self._wall_offset_s, self._wall_valid_until_s = 0.0, -math.inf
        self.handled = 0
        if _logger.isEnabledFor(logging.DEBUG):  # asked once: other levels pay nothing for the line of each message
            self._run_one = self._run_one_logged  # type: ignore[method-assign]

    def run(self, queue: str, entries: Sequence[Any]) -> None:
        """Run the messages of a claim, and give back those that should not wait for this worker."""
        if self._failpoint:
            self._failpoint("after-claim")
        started_s = now_s = clock.monotonic()
        cached = self._queue_options
        if started_s >= cached.stale_at_s:
            cached.renew(started_s)
        options = cached.fresh.get(queue) or self._claimer.options_of(queue)
        if options is None:
            return  # the next claim returns the same messages
        index = self._queue_order.index_of[queue]
        stop, activity = self._stop, self._activity
        self._claimer.finished_on = queue
        overdue_s = started_s + self._prefetch.longest_s
        rest = len(entries)
        self._plans = {}
        if rest > 1:
            activity.holds_several()
            if rest > BATCH_LIMIT:  # the list is forged; the next claim returns the others
                entries, rest = entries[:BATCH_LIMIT], BATCH_LIMIT
        self.meter.claim, last_s = (index, entries, started_s), started_s
        for entry in entries:
            if stop.requested or activity.is_release_requested or now_s > overdue_s:
                break
            rest -= 1
            last_s = now_s
            now_s = self._run_one(queue, index, entry, options, now_s, rest)
        done = len(entries) - rest
        self.meter.end(last_s, now_s, done)
        activity.idle()
        self._queue_order.worked_on(queue)
        self.handled += done
        self._prefetch.observe(done, now_s - started_s)
        if self._max_messages:
            self._prefetch.at_most(self._max_messages - self.handled)
        if rest:
            self._release(queue, [entry[0] for entry in reversed(entries[done:])])

    def _release(self, queue: str, unstarted: Sequence[bytes]) -> None:
        number = self._settler.next_release_number()
        self._claimer.send(queue, lambda: self._broker.release(queue, self._worker, number, unstarted))

    def _run_one(self, queue: str, index: int, entry: Any, options: QueueOptions, now_s: float, rest: int) -> float:
        """Run one message of a claim; `rest` messages follow it. Returns the time at which it ended."""
        message_id, envelope, counts = entry
        try:
            if match_message_id(message_id) is None:
                raise DecodeError("this is not a message id")
            message = self._decode(message_id.decode(), queue, envelope)
            attempts, number = NO_ATTEMPTS, 1
            if counts is not None:
                attempts = Attempts.decode(counts)
                number = attempts.delivery
        except (DecodeError, UnicodeDecodeError) as error:
            return self._failed.keep_undecodable(queue, index, entry, error, now_s, rest)
        if message.properties is not None:
            return self._run_with_properties(message_id, message, index, attempts, number, options, now_s, rest)
        timeout_s = message.timeout_s or options.timeout_s or self._timeout_s
        context = Context(message, attempts, now_s, timeout_s, self._state)
        if self._failpoint:
            self._failpoint("before-handler")
        if self._series:
            self._series = ""
            self.meter.switch("", now_s, rest + 1)
        self._activity.begin(message_id, index, now_s, now_s + timeout_s if timeout_s else 0.0, number, rest)
        failure = self._handler.run(message.body, context)
        if failure is not None:
            return self._failed.settle(index, FailedAttempt(message, attempts, options, failure), now_s, rest)
        self._claimer.finished.append(message_id)
        self._activity.finish(message_id)
        if self._failpoint:
            self._failpoint("after-handler")
        return clock.monotonic()

    def _run_one_logged(
        self, queue: str, index: int, entry: Any, options: QueueOptions, now_s: float, rest: int
    ) -> float:
        """As `_run_one`, with a line for each message."""
        ended_s = BatchRunner._run_one(self, queue, index, entry, options, now_s, rest)
        message_id, duration_s = entry[0].decode("utf-8", "replace"), round(clock.monotonic() - now_s, 6)
        log(_logger, logging.DEBUG, "message has run", id=message_id, queue=queue, duration_s=duration_s)
        return ended_s

    def _run_with_properties(
        self, message_id: bytes, message: Message, index: int, attempts: Attempts, delivery: int, options: QueueOptions,
        now_s: float, rest: int,
    ) -> float:  # fmt: skip
        """As the end of `_run_one`, for a message that belongs to a task or keeps its result."""
        properties = message.properties
        assert properties is not None
        plan = self._plans.get(id(properties))
        if plan is None:
            plan = self._plan(message, properties, options)
        timeout_s = message.timeout_s or plan.timeout_s
        context = Context(message, attempts, now_s, timeout_s, self._state)
        ends_s = now_s + timeout_s if timeout_s else 0.0
        if plan.refusal is not None:
            if self._handler.chain is not None:  # its hooks for the decision are part of the message
                self._handler.chain.enter(context)
                self._activity.begin_task(message_id, index, now_s, ends_s, delivery, rest, properties.task)
            return self._failed.settle(
                index, FailedAttempt(message, attempts, options, plan.refusal, plan.policy), now_s, rest, ran=False
            )
        if self._failpoint:
            self._failpoint("before-handler")
        if plan.series != self._series:
            self._series = plan.series
            self.meter.switch(properties.task, now_s, rest + 1, properties.key)
        self._activity.begin_task(message_id, index, now_s, ends_s, delivery, rest, properties.task)
        result = plan.run(message.body, context)
        if isinstance(result, BaseException):
            return self._failed.settle(
                index, FailedAttempt(message, attempts, options, result, plan.policy), now_s, rest
            )
        ended_s = clock.monotonic()
        if isinstance(result, bytes):
            text = success_text(result, delivery, self._wall_ms(now_s), self._wall_ms(ended_s))
            kept = KeptResult(ttl_text(properties.result_ttl_s), text)
            if not self._claimer.finish_with_result(message_id, index, kept):
                ended_s = math.inf  # deferred, which ends the batch
        else:
            self._claimer.finished.append(message_id)
            self._activity.finish(message_id)
        if self._failpoint:
            self._failpoint("after-handler")
        return ended_s

    def _plan(self, message: Message, properties: MessageProperties, options: QueueOptions) -> RunPlan:
        """How to run a message. The next ones of the claim with the same header, which is decoded once, share it."""
        plan = self._planner.plan(message, properties, options)
        if plan.refusal is None and not properties.encoding:
            self._plans[id(properties)] = plan
        return plan

    def _wall_ms(self, at_s: float) -> int:
        """The wall clock at a monotonic time. The difference of both clocks is read once a second."""
        if at_s > self._wall_valid_until_s:
            now_s = clock.monotonic()
            self._wall_offset_s, self._wall_valid_until_s = clock.wall_ms() / 1000 - now_s, now_s + _WALL_CLOCK_S
        return int((at_s + self._wall_offset_s) * 1000)

    def is_other_work(self, queue: str, message_id: bytes, envelope: Any) -> bool:
        """Whether a stored message waits for a worker with other code: this one does not know its task."""
        try:
            message = self._decode(message_id.decode(), queue, envelope or b"")
        except (DecodeError, UnicodeDecodeError):
            return False
        return self._handler.refusal_of(message) is not None and self._planner.may_refuse(queue)
