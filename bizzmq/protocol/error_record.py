"""The error record: what is stored with a message about its last failure, or about a crash of its worker."""

from __future__ import annotations

import time
import traceback
from typing import Any, Mapping

from bizzmq.errors import EncodeError, MessageCancelled
from bizzmq.protocol import json_codec
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.ids import host_name
from bizzmq.utils import logs

TEXT_LIMIT = 10_000
"""Characters of an error's text or traceback that are stored."""
CRASH = "WorkerCrashed"
"""The error type of a message that is quarantined because it has killed its workers."""
TYPE_LIMIT = 200
"""Characters of the name of the error's type that are stored."""
SUMMARY_LIMIT = 200
"""Characters of the last error that are stored with the attempts of a message."""


def error_record(
    error: BaseException,
    *,
    queue: str,
    worker: str,
    attempts: Attempts,
    previous: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> bytes:
    """The record of a failed attempt, as JSON for the envelope of a dead letter.

    Args:
        previous: the record that the message already has, if it is a dead letter. It stays, because it says why the
            message became a dead letter; the new record is added to it as `handler_error`.
        facts: further fields, such as the memory that a killed worker used.
    """
    record: dict[str, Any] = {
        "error_type": type(error).__name__[:TYPE_LIMIT],
        "error": _text(error),
        "traceback": _traceback(error),
        "failed_at": _now(),
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
            return json_codec.dumps({**previous, "handler_error": record})
        except EncodeError:  # a forged record can hold what JSON cannot express, such as 1e999
            return json_codec.dumps(record)
    return json_codec.dumps(record)


def cancel_record(by: str, reason: str) -> bytes:
    """The record of a cancel, as JSON: who has requested it, when and why."""
    about = "".join((f" by {by}" if by else "", f": {reason}" if reason else ""))
    return json_codec.dumps({
        "error_type": MessageCancelled.__name__, "error": shorten(f"cancelled{about}"), "by": by, "reason": reason,
        "cancelled_at": _now(), "host": host_name(),
    })  # fmt: skip


def summary(error: BaseException) -> str:
    """The type of an error and the first line of its text, at most SUMMARY_LIMIT characters."""
    lines = _text(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    shown = logs.escape(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return logs.cut(shown, SUMMARY_LIMIT)


def crash_record(reason: str, facts: Mapping[str, Any], *, queue: str, worker: str) -> bytes:
    """The record of a message whose worker died while it ran the message.

    Args:
        reason: how the worker ended, as the end of a sentence.
        facts: further fields: signal, peak memory, CPU time, run time of the message, stack.
    """
    count = facts.get("crash_count", 1)
    return json_codec.dumps(
        {
            "error_type": CRASH,
            "error": f"its worker died {count} times while running it; the last one {reason}",
            "traceback": "",
            "failed_at": _now(),
            "queue": queue,
            "worker": worker,
            "host": host_name(),
            **{name: shorten(value) if isinstance(value, str) else value for name, value in facts.items()},
        }
    )


def shorten(text: str) -> str:
    """At most TEXT_LIMIT characters of a text: its beginning and its end, which is where a traceback has its error."""
    if len(text) <= TEXT_LIMIT:
        return text
    half = TEXT_LIMIT // 2
    return f"{text[:half]}\n... {len(text) - TEXT_LIMIT} characters left out ...\n{text[-half:]}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


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
