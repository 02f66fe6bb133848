"""The consumer: one worker's loop, which claims, runs and settles. The pool and the in-process consumer share it."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import Any, Collection, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.connection.retry import StoppedWhileUnavailable
from bizzmq.consumer import failpoints
from bizzmq.consumer.claims import Claimer
from bizzmq.consumer.handler import Handler
from bizzmq.consumer.hooks import ConsumerHooks
from bizzmq.consumer.idle import IdleWait
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.consumer.prefetch import AdaptivePrefetch
from bizzmq.consumer.queue_order import QueueOrder
from bizzmq.consumer.retry_decision import Settlement
from bizzmq.consumer.settlement import FailedAttempt, Settler
from bizzmq.context import Context
from bizzmq.errors import BrokerUnavailableError, DecodeError, LeaseLostError
from bizzmq.message import Message
from bizzmq.protocol.attempts import NO_ATTEMPTS, Attempts
from bizzmq.protocol.ids import match_message_id
from bizzmq.protocol.keys import is_dead_letter_queue
from bizzmq.protocol.results import KeptResult
from bizzmq.queue import QueueOptions
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.utils.stop_event import StopEvent

_logger = logging.getLogger("bizzmq.consumer")
_GATE_S = 0.25
"""The interval at which a closed gate is checked, seconds."""
_BURST_S = 0.2
"""The interval at which a burst checks whether the queues are empty: other workers may still fail messages. Seconds."""


class Consumer:
    """Runs messages of some queues, in order of preference, under one registered worker id.

    Args:
        unregistered: queues on which the worker is not registered yet, because of trouble of their own.
    """

    def __init__(
        self,
        broker: Broker,
        worker: str,
        queues: Sequence[str],
        handler: Handler,
        stop: StopEvent,
        options: ConsumerOptions = ConsumerOptions(),
        hooks: ConsumerHooks | None = None,
        *,
        unregistered: Collection[str] = (),
    ) -> None:
        hooks = hooks or ConsumerHooks()
        self._broker = broker
        self._worker = worker
        self._handler = handler
        self._stop = stop
        self._options = options
        self._timeout_s = options.timeout_s or None
        self._activity = hooks.activity
        self._gate = hooks.gate
        self._drain = hooks.drain
        self._is_orphaned = hooks.is_orphaned
        self._decode = hooks.decode
        self._descriptors = (stop.fileno(), *hooks.descriptors)
        self._queue_order = QueueOrder(queues)
        self._prefetch = AdaptivePrefetch(options.prefetch)
        self._settler = Settler(broker, worker)
        self._claimer = Claimer(
            broker, worker, self._queue_order, self._prefetch, hooks, stop, self._is_stopping,
            patience_s=options.patience_s, unregistered=unregistered,
        )  # fmt: skip
        self._idle_wait = IdleWait(
            broker, stop, self._descriptors, self._is_stopping, self._claimer.retry_until_done, self._claimer.outages,
            self._is_other_work, options.burst_patience_s,
        )  # fmt: skip
        self._queue_options = self._claimer.options
        self._handled = 0
        self._most = options.max_messages or math.inf
        self._replace_at = options.replace_after or self._most
        handler.when_spent = self._note_spent
        self._has_requested_replacement = False
        self._request_replacement = hooks.on_max_messages or stop.request
        self._failpoint = failpoints.armed()

    def run(self) -> ExitReason:
        """Work until the loop has to end. By then, all claimed messages that were not started have been given back."""
        try:
            self.learn_shards()
            while True:
                reason = self.tick()
                if reason is not None:
                    return reason
        except StoppedWhileUnavailable:
            return ExitReason.DRAINED
        except LeaseLostError as error:
            self._claimer.clear_journal(error.queue)
            log(_logger, logging.WARNING, "lease lost, its messages belong to others", worker=self._worker,
                queue=error.queue)  # fmt: skip
            return ExitReason.LEASE_LOST
        except BrokerUnavailableError as error:
            log(_logger, logging.WARNING, "stopped while Redis is unavailable, the lease returns what is held",
                worker=self._worker, error=str(error))  # fmt: skip
            return ExitReason.DRAINED

    @property
    def handled(self) -> int:
        """The number of messages that the loop has run, failed ones included."""
        return self._handled

    def tick(self) -> ExitReason | None:
        """One round: run a batch, or wait for a wake-up, or end."""
        if self._is_stopping():
            self._claimer.send_all()
            return ExitReason.DRAINED
        if self._handled >= self._replace_at and self._is_spent():
            return None
        due_s = self._options.block_s
        is_any_open = False
        for index, queue in self._queue_order.order:
            if not self._gate.is_open(index):
                due_s = _GATE_S
                continue
            is_any_open = True
            claimed = self._claimer.claim(queue)
            if claimed.entries:
                self._run_batch(queue, claimed.entries)
                return None
            if claimed.due_s is not None:
                due_s = min(due_s, claimed.due_s)
        if not is_any_open:
            self._claimer.ack_finished()  # no claim carries these acks
            self._stop.wait(_GATE_S, *self._descriptors)
            return None
        if self._options.burst:
            if all(map(self._idle_wait.is_empty, self._queue_order.queues)):
                return ExitReason.BURST
            due_s = min(due_s, _BURST_S)
        self._activity.waits()
        self._idle_wait.wait(self._queue_order.queues, due_s, self._handled)
        return None

    def learn_shards(self) -> None:
        """Ask for the shards of the queues. `run` does it by itself; who calls `tick` does it before."""
        self._claimer.learn_shards()

    def send_finished(self) -> None:
        """Send the acks that no claim has carried yet."""
        self._claimer.ack_finished()

    def _is_stopping(self) -> bool:
        return self._stop.requested or self._is_orphaned()

    def _note_spent(self) -> None:
        self._replace_at = 0

    def _is_spent(self) -> bool:
        """Request a replacement, once. Whether this loop must run nothing more; if so, it has waited for a moment."""
        if not self._has_requested_replacement:
            self._has_requested_replacement = True
            self._request_replacement()
        if not self._handler.is_spent and self._handled < self._most:
            return False
        self._claimer.ack_finished()
        self._activity.waits()
        self._stop.wait(_GATE_S, *self._descriptors)
        return True

    def _run_batch(self, queue: str, entries: Sequence[Any]) -> None:
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
        if rest > 1:
            activity.holds_several()
            if rest > BATCH_LIMIT:  # the list is forged; the next claim returns the others
                entries, rest = entries[:BATCH_LIMIT], BATCH_LIMIT
        for entry in entries:
            if stop.requested or activity.is_release_requested or now_s > overdue_s:
                break
            rest -= 1
            now_s = self._run_one(queue, index, entry, options, now_s, rest)
        done = len(entries) - rest
        activity.idle()
        self._queue_order.worked_on(queue)
        self._handled += done
        self._prefetch.observe(done, now_s - started_s)
        if self._options.max_messages:
            self._prefetch.at_most(self._options.max_messages - self._handled)
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
            if match_message_id(message_id):  # a forged id does not fit into the recorded activity
                self._activity.settling(message_id, index)
            self._claimer.send(queue, partial(self._settler.undecodable, queue, message_id, counts, error))
            return self._ended_s(queue)
        if message.properties is not None:
            return self._run_with_properties(message, index, attempts, options, now_s, rest)
        timeout_s = message.timeout_s or options.timeout_s or self._timeout_s
        context = Context(message, attempts, now_s, timeout_s, self._drain)
        if self._failpoint:
            self._failpoint("before-handler")
        self._activity.begin(message_id, index, now_s, now_s + timeout_s if timeout_s else 0.0, number, rest)
        failure = self._handler.run(message.body, context)
        if failure is not None:
            return self._failed(index, FailedAttempt(message, attempts, options, failure))
        self._claimer.finished.append(message_id)
        self._activity.finish(message_id)
        if self._failpoint:
            self._failpoint("after-handler")
        return clock.monotonic()

    def _run_with_properties(
        self, message: Message, index: int, attempts: Attempts, options: QueueOptions, now_s: float, rest: int
    ) -> float:
        """As the end of `_run_one`, for a message that belongs to a task or keeps its result."""
        properties, message_id = message.properties, message.id.encode("ascii")
        assert properties is not None
        is_implicit = message.queue in self._queue_options.implicit
        policy = self._handler.policy_of(properties, options, is_implicit=is_implicit)
        timeout_s = message.timeout_s or policy.timeout_s or self._timeout_s
        context = Context(message, attempts, now_s, timeout_s, self._drain)
        ends_s = now_s + timeout_s if timeout_s else 0.0
        refusal = self._handler.refusal_of(message)
        if refusal is not None and self._may_refuse(message.queue):
            if self._handler.chain is not None:  # its hooks for the decision are part of the message
                self._handler.chain.enter(context)
                self._activity.begin(message_id, index, now_s, ends_s, attempts.delivery, rest)
            return self._failed(index, FailedAttempt(message, attempts, options, refusal, policy))
        if self._failpoint:
            self._failpoint("before-handler")
        self._activity.begin(message_id, index, now_s, ends_s, attempts.delivery, rest)
        keeps_result = properties.result_ttl_s and not is_dead_letter_queue(message.queue)
        started_ms = clock.wall_ms() if keeps_result else 0
        run = self._handler.run_for_result if keeps_result else self._handler.run
        result = run(message.body, context)
        if isinstance(result, BaseException):
            return self._failed(index, FailedAttempt(message, attempts, options, result, policy))
        if isinstance(result, bytes):
            ttl_ms = max(1, round(properties.result_ttl_s * 1000))
            kept = KeptResult(ttl_ms, result, attempts.delivery, started_ms, clock.wall_ms())
            self._claimer.finish_with_result(message_id, index, kept)
        else:
            self._claimer.finished.append(message_id)
            self._activity.finish(message_id)
        if self._failpoint:
            self._failpoint("after-handler")
        return self._ended_s(message.queue) if keeps_result else clock.monotonic()

    def _may_refuse(self, queue: str) -> bool:
        """Whether messages of unknown tasks are left to others; a plain handler looks at all of a dead-letter queue."""
        return self._handler.has_tasks or not self._broker.keys(queue).is_dead_letter_queue

    def _is_other_work(self, queue: str, message_id: bytes, envelope: Any) -> bool:
        """Whether a stored message waits for a worker with other code: this one does not know its task."""
        try:
            message = self._decode(message_id.decode(), queue, envelope or b"")
        except (DecodeError, UnicodeDecodeError):
            return False
        return self._handler.refusal_of(message) is not None and self._may_refuse(queue)

    def _failed(self, index: int, attempt: FailedAttempt) -> float:
        """Settle a failed attempt; returns the time at which it ended."""
        message_id, chain = attempt.message.id.encode("ascii"), self._handler.chain
        if chain is None:
            self._activity.settling(message_id, index)
        decision = self._settler.decide(attempt)
        if chain is not None:
            self._settler.notify(chain, attempt, decision)
            self._activity.settling(message_id, index)  # only now: a hook that never returns meets the hard limit
        self._settle_failure(attempt.message.queue, attempt, decision)
        return self._ended_s(attempt.message.queue)

    def _ended_s(self, queue: str) -> float:
        """The time at which a failed message ended. It is infinite if its outcome is deferred, which ends the batch.

        Otherwise the success of a later message would be recorded as the last one, and stand for the failure, too.
        """
        return math.inf if self._claimer.outages.has_deferred(queue) else clock.monotonic()

    def _settle_failure(self, queue: str, attempt: FailedAttempt, decision: Settlement) -> None:
        settler = self._settler
        if self._claimer.send(
            queue, lambda: settler.apply(attempt, decision), lambda: settler.unsent(attempt, decision)
        ):
            self._claimer.clear_journal(queue)
