"""A rate, such as 10 in a second, and the pace that keeps it."""

from __future__ import annotations

import re
import time
from typing import Any

from bizzmq.utils import clock
from bizzmq.validation import checks

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/(s|m|h)\Z")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_ALLOWED = "a number in a second, or a text such as 10/s, 100/m or 1000/h"
_MOST_PER_S = 1e6
_BEHIND_S = 0.05
"""A pace makes up for this much time that is lost by late wake-ups, and for no more after an outage."""


def checked_rate(value: Any) -> float | None:
    """How many in a second, from a number, a text, or None for no limit. Raises ConfigurationError."""
    if value is None:
        return None
    if isinstance(value, str):
        found = _RATE.match(value.replace(" ", ""))
        if found is None or not 0 < float(found[1]) <= _MOST_PER_S:
            checks.refuse("rate", _ALLOWED, value)
        return float(found[1]) / _UNITS_S[found[2]]
    return checks.number(
        "rate", value, 0.0, _MOST_PER_S, above=True, otherwise=", or a text such as 10/s, 100/m or 1000/h"
    )


class Pace:
    """Says how long to wait before the next one of many actions.

    Args:
        per_s: the most actions in a second; None for no limit.
    """

    def __init__(self, per_s: float | None, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._step_s = 0.0 if per_s is None else 1.0 / per_s
        self._now_s = now_s
        self._next_s = 0.0

    def wait_s(self) -> float:
        """Seconds until the next action is due; it counts as done then."""
        if not self._step_s:
            return 0.0
        now_s = self._now_s()
        due_s = max(self._next_s, now_s - min(_BEHIND_S, self._step_s))
        self._next_s = due_s + self._step_s
        return max(0.0, due_s - now_s)

    def wait(self) -> None:
        """Wait until the next action is due."""
        wait_s = self.wait_s()
        if wait_s:
            time.sleep(wait_s)
