"""When a schedule fires: at an interval, or at the times of a cron line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

from bizzmq.errors import ConfigurationError
from bizzmq.schedules import cron
from bizzmq.validation import checks

LEAST_S = 1.0


@dataclass(frozen=True)
class Interval:
    """Fires every `every_ms` milliseconds, counted from the time at which the schedule was added."""

    every_ms: int

    def __str__(self) -> str:
        return f"every {self.every_ms / 1000:g} s"

    def after(self, due_ms: int, now_ms: int) -> int | None:
        """The first occurrence after `now_ms`, in the series that `due_ms` belongs to."""
        return due_ms + max(0, (now_ms - due_ms) // self.every_ms + 1) * self.every_ms

    def first(self, now_ms: int) -> int | None:
        """The first occurrence of a new schedule."""
        return now_ms + self.every_ms


@dataclass(frozen=True)
class Cron:
    """Fires at the times of a cron line in a time zone. `bizzmq.schedules.cron` says what changes of the clock do."""

    line: str
    timezone: str

    def __str__(self) -> str:
        return self.line if self.timezone == cron.UTC else f"{self.line} {self.timezone}"

    def after(self, _due_ms: int, now_ms: int) -> int | None:
        """The first occurrence after `now_ms`; None if there is none in 50 years."""
        return cron.next_ms(self.line, self.timezone, now_ms)

    def first(self, now_ms: int) -> int | None:
        """The first occurrence of a new schedule."""
        return self.after(now_ms, now_ms)


When = Union[Interval, Cron]


def checked_when(line: Any, every_s: Any, timezone: Any) -> When:
    """When a schedule fires, from the arguments of a user: a cron line or an interval.

    Raises:
        ConfigurationError: both are given or none, or one is invalid.
    """
    if (line is None) == (every_s is None):
        raise ConfigurationError("a schedule needs either cron or every_s, such as cron='0 3 * * *' or every_s=60")
    if line is None:
        if timezone != cron.UTC:
            raise ConfigurationError("timezone belongs to cron: an interval has none")
        return Interval(round(checks.seconds("every_s", every_s, LEAST_S) * 1000))
    zone = cron.checked_timezone(timezone)
    return Cron(cron.checked_cron(line, zone), zone)
