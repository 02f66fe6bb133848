"""What becomes of the message that a dead worker was running: the `DeadWorker` for each queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Mapping

from bizzmq.app.description import AppDescription
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.consumer.retry_decision import MoveToDeadLetters, Retry, settle
from bizzmq.errors import CpuTimeExceeded, DecodeError, MemoryLimitExceeded, MessageCancelled, MessageTimeout
from bizzmq.failure_policy import NO_POLICY, FailurePolicy, layered
from bizzmq.protocol.attempts import NO_ATTEMPTS, Attempts
from bizzmq.protocol.envelope import decode_envelope
from bizzmq.protocol.error_record import cancel_record, crash_record, error_record, summary
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.results import results_of_stored
from bizzmq.queue import QueueOptions
from bizzmq.workers.ipc.worker_exit import WorkerExit

_LIMITS: Mapping[str, Callable[[], Exception]] = {
    MessageTimeout.__name__: lambda: MessageTimeout(0.0),
    CpuTimeExceeded.__name__: lambda: CpuTimeExceeded(0.0),
    MemoryLimitExceeded.__name__: MemoryLimitExceeded,
}
"""The error of each limit, by its name. How the worker ended is its text, in place of the limit's figure."""


def dead_worker_for(
    broker: Broker, queue: str, worker_exit: WorkerExit, crash_limit: int, app: AppDescription | None = None
) -> DeadWorker:
    """The end of a worker, as one queue receives it.

    Only the queue of the running message receives a crash or a failure; to all others the worker has just stopped.

    Args:
        app: what the pool's app declares, by which a message of a task that has passed a limit is settled.
    """
    what = worker_exit.what if worker_exit.queue == queue else DeathKind.STOPPED
    if what is DeathKind.CRASH:
        dead = _crash(broker, queue, worker_exit, crash_limit)
    elif what is DeathKind.FAILED:
        dead = _failure(broker, queue, worker_exit, crash_limit, app)
    else:
        dead = DeadWorker(DeathKind.STOPPED, worker_exit.running, worker_exit.last_finished, crash_limit)
    return replace(dead, results=results_of_stored(worker_exit.results)) if worker_exit.results else dead


def _crash(broker: Broker, queue: str, worker_exit: WorkerExit, crash_limit: int) -> DeadWorker:
    """A message whose worker has died: requeued, and quarantined after `crash_limit` crashes."""
    _, stored = broker.stored(queue, worker_exit.running)
    facts = {**worker_exit.facts, "crash_count": _attempts(stored).crashes + 1, "crash_limit": crash_limit}
    record = crash_record(worker_exit.reason, facts, queue=queue, worker=worker_exit.worker)
    return DeadWorker(DeathKind.CRASH, worker_exit.running, worker_exit.last_finished, crash_limit, record)


def _failure(
    broker: Broker, queue: str, worker_exit: WorkerExit, crash_limit: int, app: AppDescription | None
) -> DeadWorker:
    """A message that has passed a limit: retried, dead-lettered or discarded like any other failure; or cancelled."""
    if worker_exit.error_type == MessageCancelled.__name__:
        record = cancel_record("", "")  # if Redis has lost the request, which has the record
        return DeadWorker(
            DeathKind.FAILED, worker_exit.running, worker_exit.last_finished, crash_limit, record, "cancel"
        )
    error = _LIMITS[worker_exit.error_type]()
    error.args = (f"the worker {worker_exit.reason}",)
    envelope, stored = broker.stored(queue, worker_exit.running)
    attempts, own_retries, previous, task, published_at_s = _attempts(stored), None, None, "", None
    try:
        message = decode_envelope(worker_exit.running, queue, envelope or b"")
        own_retries, previous = message.retries, message.error
        task = message.properties.task if message.properties is not None else ""
        published_at_s = published_us(message.id) / 1e6
    except DecodeError:
        pass  # then the queue's own number of retries counts
    options, is_implicit = broker.meta(queue)
    decision = settle(
        error, attempts, own_retries, options, is_dead_letter_queue=broker.keys(queue).is_dead_letter_queue,
        policy=_policy(app, task, options, is_implicit=is_implicit), published_at_s=published_at_s,
    )  # fmt: skip
    record = error_record(
        error, queue=queue, worker=worker_exit.worker, attempts=attempts, previous=previous, facts=worker_exit.facts
    )
    common = (worker_exit.running, worker_exit.last_finished, crash_limit, record)
    if isinstance(decision, Retry):
        delay_ms = round(decision.delay_s * 1000)
        after = replace(decision.attempts, last_error=summary(error))
        return DeadWorker(DeathKind.FAILED, *common, "retry", after.encode(), delay_ms)
    outcome = "dead-letter" if isinstance(decision, MoveToDeadLetters) else "discard"
    return DeadWorker(DeathKind.FAILED, *common, outcome)


def _policy(app: AppDescription | None, task: str, options: QueueOptions, *, is_implicit: bool) -> FailurePolicy:
    """The policy of a task's message, as a worker has it; none for a plain message.

    A task whose waits are a function has the back-off of its queue here, since only a worker can call the function.
    """
    if app is None or not task:
        return NO_POLICY
    queue = FailurePolicy(max_retries=options.max_retries)
    return layered(app.policy_of(task), queue, app.policy, is_implicit=is_implicit)


def _attempts(stored: bytes | None) -> Attempts:
    try:
        return Attempts.decode(stored)
    except DecodeError:
        return NO_ATTEMPTS
