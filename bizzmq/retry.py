"""Decide the fate of one finished attempt. Pure: the decision is a value, and one place acts on it."""

from __future__ import annotations

import math
import random
import time
import traceback
from dataclasses import dataclass, replace
from typing import Any, Mapping, Union

from bizzmq import codec
from bizzmq.errors import Draining, EncodeError, Reject, RetryLater
from bizzmq.ids import host_name
from bizzmq.message import MAX_DELAY_S, Attempts
from bizzmq.queue import QueueOptions

TEXT_LIMIT = 10_000
"""Characters of an error's text or traceback that are kept."""
TYPE_LIMIT = 200
"""Characters of the name of its type."""


@dataclass(frozen=True)
class Ack:
    """The message is done."""


@dataclass(frozen=True)
class Retry:
    """The message is tried again `delay_s` seconds from now, with these counts."""

    delay_s: float
    attempts: Attempts


@dataclass(frozen=True)
class DeadLetter:
    """The message is kept with its error."""


@dataclass(frozen=True)
class Discard:
    """The message is dropped: it may not be retried, and its queue has no dead-letter queue."""


@dataclass(frozen=True)
class PutBack:
    """The message goes back to the head of its queue, and nobody is blamed: the pool is being drained.

    `number` is that of the release, from the worker's count of them.
    """

    number: int = 0


Settlement = Union[Ack, Retry, DeadLetter, Discard, PutBack]


def backoff_s(options: QueueOptions, retry_count: int, jitter: float) -> float:
    """Seconds before the retry after `retry_count` earlier ones: doubling, capped, spread by a half.

    `jitter` lies in [0, 1); equal jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog).
    """
    ceiling = min(options.retry_backoff_max_s, MAX_DELAY_S, options.retry_backoff_s * 2.0 ** min(retry_count, 60))
    return ceiling * (0.5 + jitter / 2)


def settle(
    error: BaseException | None,
    attempts: Attempts,
    own_retries: int | None,
    options: QueueOptions,
    *,
    is_dead_letter_queue: bool = False,
    jitter: float | None = None,
) -> Settlement:
    """What becomes of a message whose attempt ended with this error, or with none.

    Args:
        own_retries: the message's own number of retries, or None for the queue's.
    """
    if error is None:
        return Ack()
    if isinstance(error, Draining):
        return PutBack()
    limit = options.max_retries if own_retries is None else own_retries
    if attempts.retries < limit and not isinstance(error, Reject):
        delay_s = _chosen_delay_s(error)
        if delay_s is None:
            delay_s = backoff_s(options, attempts.retries, random.random() if jitter is None else jitter)
        return Retry(delay_s, replace(attempts, retries=attempts.retries + 1))
    if options.config_dead_letter_queue or is_dead_letter_queue:
        return DeadLetter()
    return Discard()


def _chosen_delay_s(error: BaseException) -> float | None:
    """The delay that a handler asked for; None if it asked for none, or for something that is no time."""
    if not isinstance(error, RetryLater):
        return None
    try:
        delay_s = float(error.delay_s)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(delay_s) else min(max(0.0, delay_s), MAX_DELAY_S)


def error_record(
    error: BaseException,
    *,
    queue: str,
    worker: str,
    attempts: Attempts,
    previous: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> bytes:
    """Everything that is needed to understand a dead letter, as JSON for its envelope.

    `previous` is the record that a dead letter already carries: the error that brought it there stays
    in front, and what its own handler made of it is added as `handler_error`.
    """
    record: dict[str, Any] = {
        "error_type": type(error).__name__[:TYPE_LIMIT],
        "error": _text(error),
        "traceback": _traceback(error),
        "failed_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "queue": queue,
        "retry_count": attempts.retries,
        "delivery": attempts.delivery,
        "worker": worker,
        "host": host_name(),
        **(facts or {}),
    }
    crash = attempts.last_crash_record()
    if crash:
        record["last_crash"] = crash
    if previous:
        try:
            return codec.dumps({**previous, "handler_error": record})
        except EncodeError:  # a forged record can hold what JSON cannot say, such as 1e999
            return codec.dumps(record)
    return codec.dumps(record)


def crash_record(reason: str, facts: Mapping[str, Any], *, queue: str, worker: str) -> bytes:
    """The record of a message whose worker died while running it.

    Args:
        reason: how the worker ended, as the end of a sentence.
        facts: what else is known of the death: signal, peak memory, CPU time, how long the message ran, stack ...
    """
    count = facts.get("crash_count", 1)
    return codec.dumps(
        {
            "error_type": "WorkerCrashed",
            "error": f"its worker died {count} times while running it; the last one {reason}",
            "traceback": "",
            "failed_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "queue": queue,
            "worker": worker,
            "host": host_name(),
            **{name: shorten(value) if isinstance(value, str) else value for name, value in facts.items()},
        }
    )


def _text(error: BaseException) -> str:
    try:
        return shorten(str(error))
    except BaseException:  # noqa: BLE001 - an error that cannot be rendered is still an error
        return f"<unprintable {type(error).__name__}>"


def _traceback(error: BaseException) -> str:
    try:
        return shorten("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    except BaseException:  # noqa: BLE001 - as above
        return ""


def shorten(text: str) -> str:
    """At most TEXT_LIMIT characters: the beginning and the end, which is where tracebacks say what matters."""
    if len(text) <= TEXT_LIMIT:
        return text
    half = TEXT_LIMIT // 2
    return f"{text[:half]}\n... {len(text) - TEXT_LIMIT} characters left out ...\n{text[-half:]}"
