"""What a handler raises as an instruction, and what is raised in it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from bizzmq.validation import checks
from bizzmq.validation.base_errors import BizzMQError, PickledWhole


class RetryLater(PickledWhole, Exception):  # noqa: N818 - handlers raise it as an instruction, not as an error
    """Raised by a handler to run this message again later.

    It counts as a retry, so the limit of retries applies; only the delay is the handler's choice.

    Args:
        delay_s: seconds, a timedelta, or a datetime with a time zone, by this host's clock. A negative delay or a time
            in the past retries at once.
        reason: the text of the error.

    Raises:
        ConfigurationError: `delay_s` is invalid. In a handler this is a failure like any other.
    """

    def __init__(self, delay_s: checks.Seconds | datetime, reason: str = "") -> None:
        self.delay_s = _delay_s(delay_s)
        super().__init__(reason or f"the handler asked for a retry in {self.delay_s:g} s")


def _delay_s(given: Any) -> float:
    if isinstance(given, datetime):
        return max(0.0, checks.moment("delay_s", given) - time.time())
    return checks.seconds("delay_s", given, least=-checks.MAX_S, otherwise=", or a datetime with a time zone")


class Reject(PickledWhole, Exception):  # noqa: N818 - handlers raise it as an instruction, not as an error
    """Raised by a handler to give this message up: it is dead-lettered or discarded now, and never retried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MessageTimeout(PickledWhole, Exception):  # noqa: N818 - the word that users look for
    """Raised in a handler when its message reaches the time limit.

    A handler may catch it to clean up. If the handler does not end within a grace period, its worker is killed.

    Attributes:
        limit_s: the time limit, seconds.
    """

    def __init__(self, limit_s: float, what: str = "time") -> None:
        super().__init__(f"the message has reached its {what} limit of {limit_s:g} s")
        self.limit_s = limit_s


class CpuTimeExceeded(MessageTimeout):
    """Raised in a handler when its message reaches the limit of CPU time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s, "CPU time")


class MemoryLimitExceeded(BizzMQError):  # noqa: N818 - like MessageTimeout, the reason of a failure
    """A worker was killed because it exceeded its hard memory limit while it ran a message."""


class MessageCancelled(PickledWhole, Exception):  # noqa: N818 - the word of the published design
    """The message was cancelled. Raised in its handler while it runs, and instead of its result afterwards.

    A handler may catch it to clean up, and should raise it again: one that returns has succeeded. If the handler does
    not end within a grace period, its worker is killed.

    Attributes:
        message_id: the id of the message.
        by: who has cancelled it; "" if that is not known, as in its handler.
        reason: why; "" if no reason was given.
    """

    def __init__(self, message_id: str, by: str = "", reason: str = "") -> None:
        about = "".join((f" by {by}" if by else "", f": {reason}" if reason else ""))
        super().__init__(f"message {message_id} was cancelled{about}")
        self.message_id = message_id
        self.by = by
        self.reason = reason


class Draining(PickledWhole, Exception):  # noqa: N818 - an instruction, not an error
    """Raised in a handler shortly before the deadline of a drain, if it has called `Context.raise_on_drain`.

    If the handler does not catch it, the message returns to the head of its queue. This does not count as a failure.
    """
