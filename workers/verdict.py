"""What the janitor does about the message that a dead worker was running: read it, decide, and say it in one value."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq import errors
from bizzmq.broker import Broker
from bizzmq.errors import DecodeError
from bizzmq.message import NO_ATTEMPTS, Attempts, decode_envelope
from bizzmq.queue import QueueOptions
from bizzmq.registry import Death
from bizzmq.retry import DeadLetter, Retry, crash_record, error_record, settle
from bizzmq.workers.death import CRASH, FAILED

Request = Mapping[str, Any]


def death_of(broker: Broker, queue: str, request: Request, crash_limit: int) -> Death:
    """The death of a worker as a queue is to be told of it.

    Only the queue of the running message hears of a crash or a failure; to all others the worker just stopped.
    """
    ran_here = request["queue"] == queue
    what = request["what"] if ran_here else "stopped"
    running, finished = request["running"], request["last_finished"]
    if what == CRASH:
        _, counts = broker.stored(queue, running)
        facts = {**request["facts"], "crash_count": _attempts(counts).crashes + 1, "crash_limit": crash_limit}
        record = crash_record(request["reason"], facts, queue=queue, worker=request["worker"])
        return Death(CRASH, running, finished, crash_limit, record)
    if what == FAILED:
        return _failure(broker, queue, request, crash_limit)
    return Death("stopped", running, finished, crash_limit)


def _failure(broker: Broker, queue: str, request: Request, crash_limit: int) -> Death:
    """A passed limit is a failure of the message: retried, dead-lettered or discarded like any other."""
    running, worker = request["running"], request["worker"]
    kind: type[Exception] = getattr(errors, request["error_type"])
    error = kind.__new__(kind, request["reason"])
    error.args = (f"the worker {request['reason']}",)
    envelope, counts = broker.stored(queue, running)
    attempts, own_retries, previous = _attempts(counts), None, None
    try:
        message = decode_envelope(running, queue, envelope or b"")
        own_retries, previous = message.retries, message.error
    except DecodeError:
        pass  # then the queue's own number of retries counts
    options: QueueOptions = broker.options(queue)
    decision = settle(
        error, attempts, own_retries, options, is_dead_letter_queue=broker.keys(queue).is_dead_letter_queue
    )
    record = error_record(
        error, queue=queue, worker=worker, attempts=attempts, previous=previous, facts=request["facts"]
    )
    common = (running, request["last_finished"], crash_limit, record)
    if isinstance(decision, Retry):
        delay_ms = round(decision.delay_s * 1000)
        return Death(FAILED, *common, "retry", decision.attempts.encode(), delay_ms)
    return Death(FAILED, *common, "dead-letter" if isinstance(decision, DeadLetter) else "discard")


def _attempts(counts: bytes | None) -> Attempts:
    try:
        return Attempts.decode(counts)
    except DecodeError:
        return NO_ATTEMPTS
