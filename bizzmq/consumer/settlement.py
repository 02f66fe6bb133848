"""Settlement: carries out the decision about a failed attempt, and logs it."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, replace
from typing import Any

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.connection.retry import QUOTE_LIMIT
from bizzmq.consumer.retry_decision import (
    Ack,
    Cancel,
    Discard,
    MoveToDeadLetters,
    Postpone,
    Release,
    Retry,
    Settlement,
    settle,
)
from bizzmq.errors import MissingKeyError, SignatureError, UnsignedError
from bizzmq.failure_policy import NO_POLICY, FailurePolicy
from bizzmq.message import Message
from bizzmq.middleware.chain import HandlerChain
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.error_record import error_record, summary
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.results import CANCELLED
from bizzmq.queue import QueueOptions
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.consumer")
_NO_COUNTS = "0 0 0 0"
_SHOWN_BYTES = 200
_MOST_UNKNOWN_TASKS = 1000


@dataclass(frozen=True)
class FailedAttempt:
    """A failed attempt: the message, its attempts at the claim, the options of its queue, the error, and the policy."""

    message: Message
    attempts_before: Attempts
    options: QueueOptions
    error: BaseException
    policy: FailurePolicy = NO_POLICY


class Settler:
    """Sends the outcomes of one worker's messages."""

    def __init__(self, broker: Broker, worker: str) -> None:
        self._broker = broker
        self._worker = worker
        self._releases = itertools.count(1)
        self._unknown_tasks: set[str] = set()  # whose first message is logged

    def decide(self, attempt: FailedAttempt) -> Settlement:
        """The decision about the message. It is made once, so that a repeated `apply` sends the same request."""
        message, attempts = attempt.message, attempt.attempts_before
        is_dead = self._broker.keys(message.queue).is_dead_letter_queue
        decision = settle(
            attempt.error, attempts, message.retries, attempt.options, is_dead_letter_queue=is_dead,
            policy=attempt.policy, published_at_s=published_us(message.id) / 1e6, message_id=message.id,
        )  # fmt: skip
        if isinstance(decision, Release):
            decision = Release(self.next_release_number())
        elif isinstance(decision, (Retry, Postpone)):
            decision = replace(decision, attempts=replace(decision.attempts, last_error=summary(attempt.error)))
        self._log(attempt, decision)
        return decision

    def notify(self, chain: HandlerChain, attempt: FailedAttempt, decision: Settlement) -> None:
        """Call the middleware's hooks for a decision."""
        notify(chain, decision, attempt.error, self._record_of(attempt))

    def next_release_number(self) -> int:
        """The number of the worker's next release, counted over all queues. A repeated request keeps its number."""
        return next(self._releases)

    def apply(self, attempt: FailedAttempt, decision: Settlement) -> None:
        """Carry out the decision. Safe to repeat."""
        message, attempts_before = attempt.message, attempt.attempts_before.encode()
        queue, worker = message.queue, self._worker
        if isinstance(decision, Retry):
            delay_ms = round(decision.delay_s * 1000)
            self._broker.retry(queue, worker, message.id, attempts_before, decision.attempts.encode(), delay_ms)
        elif isinstance(decision, Postpone):
            delay_ms, after = round(decision.delay_s * 1000), decision.attempts.encode()
            self._broker.retry(queue, worker, message.id, attempts_before, after, delay_ms, is_failure=False)
        elif isinstance(decision, MoveToDeadLetters):
            self._broker.dead_letter(queue, worker, message.id, attempts_before, self._record_of(attempt))
        elif isinstance(decision, Discard):
            self._broker.discard(queue, worker, message.id, attempts_before, self._record_if_kept(attempt))
        elif isinstance(decision, Cancel):
            record = self._record_of(attempt)
            self._broker.discard(queue, worker, message.id, attempts_before, record, CANCELLED)
        elif isinstance(decision, Release):
            self._broker.release(queue, worker, decision.number, [message.id], started=True)
        else:
            assert isinstance(decision, Ack), decision

    def unsent(self, attempt: FailedAttempt, decision: Settlement) -> DeadWorker:
        """The outcome for the journal, from which it is carried out if the worker dies before `apply` has succeeded."""
        message = attempt.message
        if isinstance(decision, (Retry, Postpone)):
            delay_ms = round(decision.delay_s * 1000)
            counted = decision.attempts.encode()
            return DeadWorker(DeathKind.FAILED, message.id, outcome="retry", attempts_after=counted, delay_ms=delay_ms)
        if isinstance(decision, MoveToDeadLetters):
            return DeadWorker(DeathKind.FAILED, message.id, record=self._record_of(attempt), outcome="dead-letter")
        if isinstance(decision, Discard):
            record = self._record_if_kept(attempt)
            return DeadWorker(DeathKind.FAILED, message.id, record=record, outcome="discard")
        if isinstance(decision, Cancel):
            return DeadWorker(DeathKind.FAILED, message.id, record=self._record_of(attempt), outcome="cancel")
        return DeadWorker(DeathKind.STOPPED, message.id)

    def _record_if_kept(self, attempt: FailedAttempt) -> bytes:
        """The error record of a discarded message, which is its result if that is kept."""
        properties = attempt.message.properties
        return self._record_of(attempt) if properties is not None and properties.result_ttl_s else b"{}"

    def _record_of(self, attempt: FailedAttempt) -> bytes:
        message = attempt.message
        return error_record(
            attempt.error,
            queue=message.queue,
            worker=self._worker,
            attempts=attempt.attempts_before,
            previous=message.error,
        )

    def undecodable(self, queue: str, message_id: bytes, counts: bytes | None, error: Exception) -> None:
        """Dead-letter a message that cannot be decoded, even if its queue discards: nobody has seen its content."""
        record = error_record(error, queue=queue, worker=self._worker, attempts=Attempts())
        self._broker.dead_letter(queue, self._worker, message_id, _NO_COUNTS if counts is None else counts, record)
        log(_logger, logging.ERROR, _refusal(error), id=_shown(message_id), queue=queue,
            attempts=_shown(counts) if counts else _NO_COUNTS, error=str(error)[:QUOTE_LIMIT])  # fmt: skip

    def _log(self, attempt: FailedAttempt, decision: Settlement) -> None:
        message, error = attempt.message, attempt.error
        facts: dict[str, Any] = {"id": message.id, "queue": message.queue, "delivery": attempt.attempts_before.delivery}
        if isinstance(decision, Retry):
            log(_logger, logging.WARNING, "message failed, will be retried", **facts,
                delay_s=round(decision.delay_s, 3), error=_line(error))  # fmt: skip
        elif isinstance(decision, MoveToDeadLetters):
            log(_logger, logging.ERROR, "message failed, dead-lettered", error=error, **facts)
        elif isinstance(decision, Discard):
            log(_logger, logging.ERROR, "message failed, discarded", error=error, **facts)
        elif isinstance(decision, Cancel):
            log(_logger, logging.INFO, "message cancelled while it ran", **facts)
        elif isinstance(decision, Release):
            log(_logger, logging.INFO, "message put back, the pool is draining", **facts)
        elif isinstance(decision, Postpone):
            level = logging.DEBUG if str(error) in self._unknown_tasks else logging.ERROR
            if len(self._unknown_tasks) < _MOST_UNKNOWN_TASKS:
                self._unknown_tasks.add(str(error))
            wanted = "has its key" if isinstance(error, MissingKeyError) else "knows its task"
            log(_logger, level, f"message waits for a worker that {wanted}", **facts,
                delay_s=round(decision.delay_s, 3), error=_line(error))  # fmt: skip


def notify(chain: HandlerChain, decision: Settlement, error: BaseException, record: bytes) -> None:
    """Call the middleware's hooks for the decision about the message that the chain has run last.

    Args:
        record: what is kept with the message if it is dead-lettered.
    """
    if isinstance(decision, Retry):
        chain.retried(error, decision.delay_s)
    elif isinstance(decision, MoveToDeadLetters):
        chain.dead_lettered(error, decode_body(record))
    elif isinstance(decision, Discard):
        chain.dead_lettered(error, None)
    else:
        chain.released(error, decision.delay_s if isinstance(decision, Postpone) else 0.0)


def _refusal(error: Exception) -> str:
    """The log sentence for a message that is kept undecoded."""
    if isinstance(error, UnsignedError):
        return "message is unsigned, kept as a dead letter"
    if isinstance(error, SignatureError):
        return "message has a wrong signature, kept as a dead letter"
    return "message is undecodable, kept as a dead letter"


def _shown(stored: bytes) -> str:
    """Any bytes as text, short enough for a log line."""
    return stored[:_SHOWN_BYTES].decode("utf-8", "backslashreplace") + ("..." if len(stored) > _SHOWN_BYTES else "")


def _line(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except Exception:  # noqa: BLE001 - an error that cannot be rendered is still an error
        return f"{type(error).__name__}: <unprintable>"
