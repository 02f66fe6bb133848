"""Failed messages: what a batch does with a message that its worker could not handle, or not even decode."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from bizzmq.consumer.claims import Claimer
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.hooks import ActivityRecorder
from bizzmq.consumer.message_records import MessageRecords
from bizzmq.consumer.retry_decision import (
    Cancel,
    Discard,
    MoveToDeadLetters,
    Postpone,
    Release,
    Retry,
    Settlement,
)
from bizzmq.consumer.settlement import FailedAttempt, Settler
from bizzmq.metrics.meter import NoMeter
from bizzmq.protocol.ids import match_message_id
from bizzmq.utils import clock

_OUTCOMES = {
    Retry: "retried", MoveToDeadLetters: "dead_lettered", Discard: "discarded", Cancel: "cancelled",
    Postpone: "released", Release: "released",
}  # fmt: skip
"""What the metrics call each decision."""


class FailedMessages:
    """Settles, records and measures the failed messages of one worker."""

    def __init__(
        self,
        handler: Handler,
        claimer: Claimer,
        settler: Settler,
        records: MessageRecords,
        activity: ActivityRecorder,
        meter: NoMeter,
    ) -> None:
        self._handler = handler
        self._claimer = claimer
        self._settler = settler
        self._records = records
        self._activity = activity
        self._meter = meter

    def settle(self, index: int, attempt: FailedAttempt, started_s: float, rest: int, *, ran: bool = True) -> float:
        """Settle a failed attempt; returns the time at which its settlement ended (see `_resumed_s`).

        Args:
            index: that of its queue.
            rest: how many messages of the claim follow it.
            ran: whether a handler has seen it.
        """
        message_id, chain = attempt.message.id.encode("ascii"), self._handler.chain
        if chain is None:
            self._activity.settling(message_id, index)
        decision = self._settler.decide(attempt)
        self._meter.fail(_OUTCOMES[type(decision)], started_s, rest, ran=ran)
        if chain is not None:
            self._settler.notify(chain, attempt, decision)
            self._activity.settling(message_id, index)  # only now: a hook that never returns meets the hard limit
        if self._records.is_of(attempt.message):
            self._claimer.send(attempt.message.queue, partial(self._records.settle, attempt.message))
        self._send_output(attempt, decision)
        self._send_outcome(attempt.message.queue, attempt, decision)
        return self._resumed_s(attempt.message.queue, rest)

    def keep_undecodable(
        self, queue: str, index: int, entry: Any, error: Exception, started_s: float, rest: int
    ) -> float:  # fmt: skip
        """Dead-letter a message that cannot be decoded; arguments and return value are those of `settle`."""
        message_id, _, counts = entry
        if match_message_id(message_id):  # a forged id does not fit into the recorded activity
            self._activity.settling(message_id, index)
        self._meter.fail("dead_lettered", started_s, rest, ran=False)
        self._claimer.send(queue, partial(self._settler.undecodable, queue, message_id, counts, error))
        return self._resumed_s(queue, rest)

    def _send_output(self, attempt: FailedAttempt, decision: Settlement) -> None:
        """Store the output of a failed attempt before its outcome. What ends keeps it as long as its result."""
        message, delivery = attempt.message, attempt.attempts_before.delivery
        if not self._records.has_output(message, delivery):
            return
        properties, ttl_s = message.properties, 0.0
        if properties is not None and isinstance(decision, (Cancel, Discard)):
            ttl_s = max(properties.result_ttl_s, properties.output_ttl_s)
        elif properties is not None:
            ttl_s = properties.output_ttl_s
        self._claimer.send(message.queue, partial(self._records.keep_output, message, delivery, ttl_s, has_failed=True))

    def _send_outcome(self, queue: str, attempt: FailedAttempt, decision: Settlement) -> None:
        settler = self._settler
        if self._claimer.send(
            queue, lambda: settler.apply(attempt, decision), lambda: settler.unsent(attempt, decision)
        ):
            self._claimer.clear_journal(queue)

    def _resumed_s(self, queue: str, rest: int) -> float:
        """When the time of the next message begins. It is infinite if an outcome is deferred, which ends the batch.

        Otherwise the success of a later message would be recorded as the last one, and stand for the failure, too.
        """
        now_s = math.inf if self._claimer.outages.has_deferred(queue) else clock.monotonic()
        self._meter.resume(now_s, rest)
        return now_s
