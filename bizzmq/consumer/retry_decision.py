"""The retry decision: what happens to a message after an attempt (ack, retry, dead-letter, discard, release, cancel).

The decision is a value and has no effect by itself; `settlement` carries it out.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from typing import Union

from bizzmq.errors import ArgumentsError, Draining, MessageCancelled, Reject, RetryLater, UnknownTaskError
from bizzmq.failure_policy import NO_POLICY, FailurePolicy
from bizzmq.message import MAX_DELAY_S
from bizzmq.protocol.attempts import Attempts
from bizzmq.queue import QueueOptions
from bizzmq.utils import backoff
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.consumer")
_FIRST_POSTPONE_S, _LONGEST_POSTPONE_S = 1.0, 300.0


@dataclass(frozen=True)
class Ack:
    """The message is done."""


@dataclass(frozen=True)
class Retry:
    """The message is tried again `delay_s` seconds from now, with these counts."""

    delay_s: float
    attempts: Attempts


@dataclass(frozen=True)
class Postpone:
    """The message waits `delay_s` seconds without blame, because this worker does not know its task."""

    delay_s: float
    attempts: Attempts


@dataclass(frozen=True)
class MoveToDeadLetters:
    """The message is kept with its error."""


@dataclass(frozen=True)
class Discard:
    """The message is dropped: it has no retries left, and its queue has no dead-letter queue."""


@dataclass(frozen=True)
class Release:
    """The message goes back to the head of its queue and counts as neither failed nor crashed: the pool is draining.

    `number` is the number of the release, from the worker's count of its releases.
    """

    number: int = 0


@dataclass(frozen=True)
class Cancel:
    """The message was cancelled while it ran, and ends."""


Settlement = Union[Ack, Retry, Postpone, MoveToDeadLetters, Discard, Release, Cancel]


def backoff_s(options: QueueOptions, retry_count: int, jitter: float | None = None) -> float:
    """The delay before the next retry, after `retry_count` retries, seconds.

    Args:
        jitter: a number in [0, 1) to use instead of a random one.
    """
    longest_s = min(options.retry_backoff_max_s, MAX_DELAY_S)
    return backoff.jittered(backoff.doubled(options.retry_backoff_s, retry_count, longest_s), jitter)


def settle(
    error: BaseException | None,
    attempts: Attempts,
    own_retries: int | None,
    options: QueueOptions,
    *,
    is_dead_letter_queue: bool = False,
    policy: FailurePolicy = NO_POLICY,
    published_at_s: float | None = None,
    message_id: str = "",
    jitter: float | None = None,
) -> Settlement:
    """The decision about a message after an attempt.

    Args:
        error: the error of the attempt; None if it succeeded.
        own_retries: the message's own number of retries; None if the policy's or the queue's number applies.
        policy: what the message's task says.
        published_at_s: when the message was published, seconds since the epoch; None if that is unknown.
        message_id: the id of the message: only its own cancel ends it, not that of a message whose result it awaits.
        jitter: as for `backoff_s`.
    """
    if error is None:
        return Ack()
    if isinstance(error, Draining):
        return Release()
    if isinstance(error, MessageCancelled) and error.message_id == message_id:
        return Cancel()
    if isinstance(error, UnknownTaskError):
        delay_s = postpone_s(attempts.requeues, error.limit_s)
        if delay_s is not None:
            return Postpone(delay_s, replace(attempts, requeues=attempts.requeues + 1))
    elif _may_retry(error, attempts, own_retries, options, policy, published_at_s):
        delay_s = _requested_delay_s(error)
        if delay_s is None:
            delay_s = _policy_delay_s(policy, attempts.retries, error)
        if delay_s is None:
            delay_s = backoff_s(options, attempts.retries, jitter)
        return Retry(delay_s, replace(attempts, retries=attempts.retries + 1))
    if options.config_dead_letter_queue or is_dead_letter_queue or is_kept_for_good(error):
        return MoveToDeadLetters()
    return Discard()


def postpone_s(requeues: int, limit_s: float = UnknownTaskError.limit_s) -> float | None:
    """How long a message waits for a worker that knows its task, seconds; None once it has waited for `limit_s`.

    The wait doubles from 1 s to 5 minutes. The number of earlier waits says how long the message has waited.
    """
    doublings = math.ceil(math.log2(_LONGEST_POSTPONE_S / _FIRST_POSTPONE_S))
    grown_s = _FIRST_POSTPONE_S * (2.0 ** min(requeues, doublings) - 1)
    waited_s = grown_s + max(0, requeues - doublings) * _LONGEST_POSTPONE_S
    if waited_s >= limit_s:
        return None
    return min(limit_s - waited_s, backoff.doubled(_FIRST_POSTPONE_S, requeues, _LONGEST_POSTPONE_S))


def is_kept_for_good(error: BaseException) -> bool:
    """Whether a message with this error is dead-lettered even if its queue discards: no handler has seen it."""
    return isinstance(error, UnknownTaskError) or (isinstance(error, ArgumentsError) and error.is_received)


def _may_retry(
    error: BaseException,
    attempts: Attempts,
    own_retries: int | None,
    options: QueueOptions,
    policy: FailurePolicy,
    published_at_s: float | None,
) -> bool:
    if isinstance(error, Reject) or is_kept_for_good(error):
        return False
    limit = own_retries if own_retries is not None else policy.max_retries
    if attempts.retries >= (options.max_retries if limit is None else limit):
        return False
    age_s = 0.0 if published_at_s is None else time.time() - published_at_s
    if policy.retry_for_s is not None and age_s > policy.retry_for_s:
        return False
    return isinstance(error, RetryLater) or policy.may_retry(error)


def _policy_delay_s(policy: FailurePolicy, retry_count: int, error: BaseException) -> float | None:
    """The wait that the policy gives; None if it gives none. A function that fails is logged, and gives none."""
    try:
        return policy.delay_s(retry_count, error)
    except Exception as failed:  # noqa: BLE001 - the user's function must not decide that a message is lost
        log(_logger, logging.ERROR, "retry_delays_s has failed, the back-off of the queue applies", error=failed)
        return None


def _requested_delay_s(error: BaseException) -> float | None:
    """The delay that the handler requested by RetryLater; None if it requested none, or an invalid one."""
    if not isinstance(error, RetryLater):
        return None
    try:
        delay_s = float(error.delay_s)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(delay_s) else min(max(0.0, delay_s), MAX_DELAY_S)
