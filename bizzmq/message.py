"""A message and its options."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Mapping, NamedTuple, Union

from bizzmq.properties import (
    MessageProperties,
    checked_headers,
    checked_key,
    checked_output_ttl,
    checked_result_ttl,
    checked_unique_key,
)
from bizzmq.validation import checks
from bizzmq.validation.base_errors import ConfigurationError
from bizzmq.validation.checks import MAX_S, Seconds

PRIORITY_LIMIT = 2**53
"""The largest absolute value of a priority: scores of sorted sets are doubles, which are exact up to here."""
MAX_DELAY_S = MAX_S
UniqueKey = Union[str, Callable[[Any], str]]
"""A unique key, or a function that makes it of a message's body."""

_CONFIRM = re.compile(r"(aof|replicas:[1-9][0-9]{0,2})\Z")
_OR_NONE = ", or None for the queue's"


@dataclass(frozen=True, init=False)
class MessageOptions:
    """The options of one message.

    Args:
        priority: an integer from -2^53 to 2^53; a higher priority is handled first, 0 is the default. Messages of the
            same priority are handled in the order in which they became waiting. That order is exact for 2e9 waiting
            messages of a priority up to 10^6, and for a few thousand at 2^40; from 2^51 on, ids decide
            (docs/internals/decisions/0058).
        retries: overrides the queue's `max_retries` for this message; None keeps it.
        delay_s: how long to delay the message, seconds or a timedelta; or a datetime with a time zone until which to
            delay it, by Redis's clock. A time in the past does not delay it.
        timeout_s: the time limit of one delivery, seconds or a timedelta; overrides the queue's `timeout_s`; None
            keeps it.
        confirm: when publishing returns: "" as soon as the server has the message, `replicas:N` when N replicas have
            it, too, `aof` when it is on the server's disk (Redis 7.2 or newer, or Valkey).
        result_ttl_s: how long the handler's result is kept after the end of the message, seconds or a timedelta; 0
            keeps none.
        headers: texts that travel with the message, by name, such as a trace id: at most 64, of 8,192 characters in
            all. The handler finds them in `Context.headers`.
        key: a name by which messages are found, listed and cancelled, such as a tenant's: at most 512 bytes
            of UTF-8 without control characters; "" for none.
        unique_key: while a message of the queue has this key, no other one with it is published: the id of the first
            one is returned. A text like `key`, or a function that takes the message (for a task, its arguments by name)
            and returns such a text; "" for none. See docs/guide/uniqueness.md.
        unique_until: how long a message has its key: until it has `finished` (also by a failure for good), or until it
            is `started`.
        unique_for_s: instead, the key is taken for this time after publishing, seconds or a timedelta, whatever
            becomes of the message; None for no such time.
        on_duplicate: `keep` the first message as it is, or `replace` its content, and the time until which it is
            delayed, unless a worker has it.
        expires_s: the message is not started later than this after it was published, seconds or a timedelta, by Redis's
            clock. None lets it wait for as long as it takes.
        output_ttl_s: how long the output of the handler is kept after its end, also if it succeeds, seconds or a
            timedelta; 0 keeps only the output of failures. See docs/guide/output.md.

    Raises:
        ConfigurationError: a value has the wrong type or is out of range, or two do not go together.
    """

    priority: int
    retries: int | None
    delay_s: float | datetime
    timeout_s: float | None
    confirm: str
    result_ttl_s: float
    headers: Mapping[str, str] = field(hash=False)  # a mapping has no hash
    key: str
    unique_key: UniqueKey
    unique_until: str
    unique_for_s: float | None
    on_duplicate: str
    expires_s: float | None
    output_ttl_s: float

    def __init__(
        self,
        priority: int = 0,
        retries: int | None = None,
        delay_s: Seconds | datetime = 0.0,
        timeout_s: Seconds | None = None,
        confirm: str = "",
        result_ttl_s: Seconds = 0.0,
        headers: Mapping[str, str] | None = None,
        key: str = "",
        *,
        unique_key: UniqueKey = "",
        unique_until: str = "finished",
        unique_for_s: Seconds | None = None,
        on_duplicate: str = "keep",
        expires_s: Seconds | None = None,
        output_ttl_s: Seconds = 0.0,
    ) -> None:
        given = self.__dict__  # frozen: set once, here
        given["priority"] = _priority(priority)
        given["retries"] = _retries(retries)
        given["delay_s"] = _delay(delay_s)
        given["timeout_s"] = _timeout(timeout_s)
        given["confirm"] = _confirm(confirm)
        given["result_ttl_s"] = checked_result_ttl(result_ttl_s)
        given["headers"] = checked_headers(headers)
        given["key"] = checked_key(key)
        given["unique_key"] = unique_key if callable(unique_key) else checked_unique_key(unique_key)
        given["unique_until"] = checks.choice("unique_until", unique_until, ("finished", "started"))
        given["unique_for_s"] = _time("unique_for_s", unique_for_s)
        given["on_duplicate"] = checks.choice("on_duplicate", on_duplicate, ("keep", "replace"))
        given["expires_s"] = _time("expires_s", expires_s)
        given["output_ttl_s"] = checked_output_ttl(output_ttl_s)
        _check_together(self)

    def delay_ms(self, now_us: int) -> int:
        """The delay in milliseconds, counted from `now_us`, which is Redis's time in microseconds since the epoch."""
        if isinstance(self.delay_s, datetime):
            return max(0, round(self.delay_s.timestamp() * 1000 - now_us / 1000))
        return round(self.delay_s * 1000)


class Message(NamedTuple):
    """A published message. It never changes. A tuple, because each delivery creates one.

    Attributes:
        id: 13 hex digits of the time of publishing, then 7 letters and digits of the publisher.
        queue: the name of the queue, or of its shard.
        body: the JSON value that was published.
        retries: this message's own `max_retries`, or None for the queue's.
        timeout_s: this message's own time limit in seconds, or None for the queue's.
        priority: the priority with which the message was published.
        error: in a dead-letter queue, the record of the error that put the message there (see `Context.error`); None
            elsewhere.
        properties: the message's task, headers and result; None for a plain message.
    """

    id: str
    queue: str
    body: Any
    retries: int | None = None
    timeout_s: float | None = None
    priority: int = 0
    error: Mapping[str, Any] | None = None
    properties: MessageProperties | None = None


def read_stored(stored: Mapping[str, Any]) -> tuple[int, int | None, float | None]:
    """Priority, retries and time limit from the options of an envelope. Raises ConfigurationError."""
    if not stored:
        return 0, None, None
    return _priority(stored.get("priority", 0)), _retries(stored.get("retries")), _timeout(stored.get("timeout_s"))


def _priority(value: Any) -> int:
    return checks.integer("priority", value, -PRIORITY_LIMIT, PRIORITY_LIMIT)


def _retries(value: Any) -> int | None:
    return None if value is None else checks.integer("retries", value, 0, otherwise=_OR_NONE)


def _timeout(value: Any) -> float | None:
    return None if value is None else checks.seconds("timeout_s", value, above=True, otherwise=_OR_NONE)


def _time(name: str, value: Any) -> float | None:
    return None if value is None else checks.seconds(name, value, above=True, otherwise=", or None", most=MAX_S)


def _check_together(options: MessageOptions) -> None:
    """Raise ConfigurationError if two of the options contradict each other."""
    is_plain = options.unique_until == "finished" and options.on_duplicate == "keep"
    if options.unique_key == "" and not (is_plain and options.unique_for_s is None):
        raise ConfigurationError("unique_until, unique_for_s and on_duplicate need a unique_key")
    if options.unique_for_s is not None and not is_plain:
        raise ConfigurationError('unique_for_s goes with neither unique_until="started" nor on_duplicate="replace"')
    delay_s = options.delay_s
    if options.expires_s is not None and isinstance(delay_s, float) and delay_s >= options.expires_s:
        raise ConfigurationError(
            f"expires_s must be longer than delay_s, and {options.expires_s:g} s is not longer than {delay_s:g} s"
        )


def _delay(value: Any) -> float | datetime:
    if not isinstance(value, datetime):
        return checks.seconds("delay_s", value, otherwise=", or a datetime with a time zone")
    if checks.moment("delay_s", value) - time.time() > MAX_DELAY_S:
        checks.refuse("delay_s", "less than 100 years away", value)
    return value


def _confirm(value: Any) -> str:
    if not isinstance(value, str) or (value and not _CONFIRM.match(value)):
        checks.refuse("confirm", "replicas:N with N from 1 to 999, or aof", value)
    return str.__str__(value)
