"""How one message is treated, as its publisher says it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Mapping

from bizzmq import checks, codec
from bizzmq.checks import MAX_S, Seconds

PRIORITY_LIMIT = 2**53
"""Largest size of a priority: sorted-set scores are doubles, exact up to here."""
MAX_DELAY_S = MAX_S

PLAIN_HEADER = b"1\n"
_CONFIRM = re.compile(r"(aof|replicas:[1-9][0-9]{0,2})\Z")
_OR_NONE = ", or None for the queue's"


@dataclass(frozen=True, init=False)
class MessageOptions:
    """How one message is treated.

    Args:
        priority: any integer up to 2^53 in size; higher is handled first, 0 is the default. Those of one priority are
            handled in the order in which they became waiting: two thousand million of them up to a priority of a
            million, some thousand at 2^40. From 2^51 on they go by id (docs/adr/0058).
        retries: overrides the queue's `max_retries` for this message.
        delay_s: how long the message is held back, seconds or a timedelta; or until when, a datetime with a time zone,
            by Redis's clock. One that has passed delays nothing.
        timeout_s: how long one delivery may take, seconds or a timedelta; overrides the queue's.
        confirm: return only when so many replicas have it (`replicas:1`), or the disk of the server (`aof`: Redis 7.2
            and newer, Valkey); "" when the server has it.

    Raises:
        ConfigurationError: a value of another type, or one that cannot work.
    """

    priority: int
    retries: int | None
    delay_s: float | datetime
    timeout_s: float | None
    confirm: str

    def __init__(
        self,
        priority: int = 0,
        retries: int | None = None,
        delay_s: Seconds | datetime = 0.0,
        timeout_s: Seconds | None = None,
        confirm: str = "",
    ) -> None:
        given = self.__dict__  # frozen: set once, here
        given["priority"] = _priority(priority)
        given["retries"] = _retries(retries)
        given["delay_s"] = _delay(delay_s)
        given["timeout_s"] = _timeout(timeout_s)
        given["confirm"] = _confirm(confirm)

    def header(self) -> bytes:
        """The header line of an envelope with these options, newline included."""
        stored: dict[str, Any] = {}
        if self.priority:
            stored["priority"] = self.priority
        if self.retries is not None:
            stored["retries"] = self.retries
        if self.timeout_s is not None:
            stored["timeout_s"] = self.timeout_s
        return b"1\t" + codec.dumps(stored) + b"\n" if stored else PLAIN_HEADER

    def delay_ms(self, now_us: int) -> int:
        """How long to hold the message back from now on, by Redis's clock, milliseconds."""
        if isinstance(self.delay_s, datetime):
            return max(0, round(self.delay_s.timestamp() * 1000 - now_us / 1000))
        return round(self.delay_s * 1000)


def read_stored(stored: Mapping[str, Any]) -> tuple[int, int | None, float | None]:
    """Priority, retries and time limit as an envelope has them. Raises ConfigurationError."""
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
        checks.refuse("confirm", "replicas:N with N of 1 to 999, or aof", value)
    return str.__str__(value)
