"""What follows from a failed attempt: the one place that acts on a settlement, and logs it."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import Any

from bizzmq.broker import Broker
from bizzmq.errors import SignatureError, UnsignedError
from bizzmq.logs import log
from bizzmq.message import Attempts, Message
from bizzmq.outage import TEXT_LIMIT
from bizzmq.queue import QueueOptions
from bizzmq.registry import Death
from bizzmq.retry import Ack, DeadLetter, Discard, PutBack, Retry, Settlement, error_record, settle

_logger = logging.getLogger("bizzmq.consumer")
_UNTRIED = "0 0 0 0"
_SHOWN_BYTES = 200


@dataclass(frozen=True)
class Delivery:
    """One failed attempt: the message, its counts as claimed, its queue's options, and the error."""

    message: Message
    attempts: Attempts
    options: QueueOptions
    error: BaseException


class Settler:
    """Sends the outcomes of one worker."""

    def __init__(self, broker: Broker, worker: str) -> None:
        self._broker = broker
        self._worker = worker
        self._releases = itertools.count(1)

    def decide(self, delivery: Delivery) -> Settlement:
        """The fate of the message. Decided once, so that repeating `apply` repeats the same request."""
        message, attempts = delivery.message, delivery.attempts
        is_dead = self._broker.keys(message.queue).is_dead_letter_queue
        decision = settle(delivery.error, attempts, message.retries, delivery.options, is_dead_letter_queue=is_dead)
        if isinstance(decision, PutBack):
            decision = PutBack(self.number_release())
        self._log(delivery, decision)
        return decision

    def number_release(self) -> int:
        """The number of the worker's next release, on whichever queue: it stays the same when that is sent again."""
        return next(self._releases)

    def apply(self, delivery: Delivery, decision: Settlement) -> None:
        """Have it done. Safe to repeat."""
        message, seen = delivery.message, delivery.attempts.encode()
        queue, worker = message.queue, self._worker
        if isinstance(decision, Retry):
            delay_ms = round(decision.delay_s * 1000)
            self._broker.retry(queue, worker, message.id, seen, decision.attempts.encode(), delay_ms)
        elif isinstance(decision, DeadLetter):
            self._broker.dead_letter(queue, worker, message.id, seen, self._record_of(delivery))
        elif isinstance(decision, Discard):
            self._broker.discard(queue, worker, message.id, seen)
        elif isinstance(decision, PutBack):
            self._broker.release(queue, worker, decision.number, [message.id], started=True)
        else:
            assert isinstance(decision, Ack), decision

    def unsent(self, delivery: Delivery, decision: Settlement) -> Death:
        """What `apply` would do, for whoever finds the worker dead and this undone."""
        message = delivery.message
        if isinstance(decision, Retry):
            delay_ms = round(decision.delay_s * 1000)
            counted = decision.attempts.encode()
            return Death("failed", message.id, outcome="retry", counted=counted, delay_ms=delay_ms)
        if isinstance(decision, DeadLetter):
            return Death("failed", message.id, record=self._record_of(delivery), outcome="dead-letter")
        if isinstance(decision, Discard):
            return Death("failed", message.id, outcome="discard")
        return Death("stopped", message.id)

    def _record_of(self, delivery: Delivery) -> bytes:
        message = delivery.message
        return error_record(
            delivery.error,
            queue=message.queue,
            worker=self._worker,
            attempts=delivery.attempts,
            previous=message.error,
        )

    def undecodable(self, queue: str, message_id: bytes, counts: bytes | None, error: Exception) -> None:
        """Keep an envelope that cannot be read, whatever its queue is set to: nobody has seen what is in it."""
        text = _shown(message_id)
        seen = _shown(counts) if counts else _UNTRIED
        record = error_record(error, queue=queue, worker=self._worker, attempts=Attempts())
        self._broker.dead_letter(queue, self._worker, message_id, _UNTRIED if counts is None else counts, record)
        log(_logger, logging.ERROR, _refusal(error), id=text, queue=queue,
            attempts=seen, error=str(error)[:TEXT_LIMIT])  # fmt: skip

    def _log(self, delivery: Delivery, decision: Settlement) -> None:
        message, error = delivery.message, delivery.error
        facts: dict[str, Any] = {"id": message.id, "queue": message.queue, "delivery": delivery.attempts.delivery}
        if isinstance(decision, Retry):
            log(_logger, logging.WARNING, "message failed, will be retried", **facts,
                delay_s=round(decision.delay_s, 3), error=_line(error))  # fmt: skip
        elif isinstance(decision, DeadLetter):
            log(_logger, logging.ERROR, "message failed, dead-lettered", error=error, **facts)
        elif isinstance(decision, Discard):
            log(_logger, logging.ERROR, "message failed, discarded", error=error, **facts)
        elif isinstance(decision, PutBack):
            log(_logger, logging.INFO, "message put back, the pool is draining", **facts)


def _refusal(error: Exception) -> str:
    """The log's sentence about a message that is kept unread."""
    if isinstance(error, UnsignedError):
        return "message is unsigned, kept as a dead letter"
    if isinstance(error, SignatureError):
        return "message has a wrong signature, kept as a dead letter"
    return "message is undecodable, kept as a dead letter"


def _shown(stored: bytes) -> str:
    """As text, whatever its bytes, and not longer than a line may be."""
    return stored[:_SHOWN_BYTES].decode("utf-8", "backslashreplace") + ("..." if len(stored) > _SHOWN_BYTES else "")


def _line(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except Exception:  # noqa: BLE001 - an error that cannot be rendered is still an error
        return f"{type(error).__name__}: <unprintable>"
