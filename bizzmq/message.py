"""A message and its options."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Mapping, NamedTuple

from bizzmq.properties import MessageProperties, checked_headers, checked_key, checked_result_ttl
from bizzmq.validation import checks
from bizzmq.validation.checks import MAX_S, Seconds

PRIORITY_LIMIT = 2**53
"""The largest absolute value of a priority: scores of sorted sets are doubles, which are exact up to here."""
MAX_DELAY_S = MAX_S

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
        key: a name by which messages are found, counted, cancelled and paused, such as a tenant's: at most 512 bytes
            of UTF-8 without control characters; "" for none.

    Raises:
        ConfigurationError: a value has the wrong type or is out of range.
    """

    priority: int
    retries: int | None
    delay_s: float | datetime
    timeout_s: float | None
    confirm: str
    result_ttl_s: float
    headers: Mapping[str, str] = field(hash=False)  # a mapping has no hash
    key: str

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
