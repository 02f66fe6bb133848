"""Cron lines in time zones: cronsim finds the wall-clock times of a line, and this module the moments of those.

A line whose minute and hour fields are both without a star names times of the day. Such a time that a change of the
clock leaves out is the moment of the change, and one that comes twice is its first moment. Any other line goes by
elapsed time: it means all moments at which the clock shows a time of the line. So does Debian's cron.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Tuple

from bizzmq.errors import ConfigurationError, DecodeError
from bizzmq.validation import checks

EXTRA = "install the extra `schedules`"
UTC = "UTC"
_ALIASES = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_MAX_LINE = 200
_MALFORMED = (AssertionError, TypeError, ValueError)
"""What cronsim raises, beside its own error, for some malformed fields."""


def checked_cron(line: Any, zone: str) -> str:
    """A cron line. Raises ConfigurationError if it is none, if it never fires, or if cronsim is missing."""
    allowed = "a cron line of 5 fields such as '0 3 * * *'"
    text = " ".join(checks.text("cron", line, allowed).split())
    fields = _ALIASES.get(text, text).split()
    if len(fields) != 5 or len(text) > _MAX_LINE:
        checks.refuse("cron", allowed, line)
    problem = _problem(" ".join(fields))
    if problem and not any(_problem(one) for one in _alone(fields)):
        raise ConfigurationError(f"cron {text!r} never fires: no month has such a day")
    if problem:
        raise ConfigurationError(f"cron {text!r} is no cron line: {problem.lower()}")
    if next_ms(text, zone, 0) is None:
        raise ConfigurationError(f"cron {text!r} never fires")
    return text


def _alone(fields: list[str]) -> list[str]:
    """A line for each field, with stars in place of the others."""
    return [" ".join(field if place == index else "*" for place in range(5)) for index, field in enumerate(fields)]


def _problem(line: str) -> str:
    """What is wrong with a line; "" if nothing is."""
    simulator, error = _cronsim()
    try:
        simulator(line, datetime(2000, 1, 1))  # noqa: DTZ001 - a wall-clock time
    except (error, *_MALFORMED) as wrong:
        return str(wrong) or "malformed"
    return ""


def _cronsim() -> Tuple[Any, type[Exception]]:
    try:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - an extra; intervals need none
    except ImportError:
        raise ConfigurationError(f"cron lines need cronsim; {EXTRA}") from None
    return CronSim, CronSimError


def checked_timezone(name: Any) -> str:
    """The name of a time zone. Raises ConfigurationError."""
    text = checks.text("timezone", name, "the name of a time zone such as Europe/Berlin")
    zone_of(text)
    return text


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo:
    """A time zone by its name. Raises ConfigurationError."""
    if name == UTC:
        return timezone.utc
    try:
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - CPython 3.8 has none
    except ImportError:
        try:
            from backports.zoneinfo import ZoneInfo  # type: ignore[no-redef, import-not-found, unused-ignore]  # noqa: PLC0415
        except ImportError:
            raise ConfigurationError(f"time zones need backports.zoneinfo on this Python; {EXTRA}") from None
    try:
        zone: tzinfo = ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        checks.refuse("timezone", "the name of a time zone such as Europe/Berlin", name)
    return zone


@lru_cache(maxsize=16384)
def next_ms(line: str, zone_name: str, after_ms: int) -> int | None:
    """The first moment of a line after `after_ms`, milliseconds since the epoch; None if there is none in 50 years.

    Raises:
        DecodeError, ConfigurationError: a stored line or time zone is malformed, or cronsim is missing.
    """
    zone = zone_of(zone_name)
    fields = _ALIASES.get(line, line).split()
    if len(fields) != 5 or len(line) > _MAX_LINE:
        raise DecodeError(f"a stored schedule's cron {line[:_MAX_LINE]!r} is no cron line")
    is_wall_clock = not fields[0].startswith("*") and not fields[1].startswith("*")
    find = _wall_clock if is_wall_clock and zone is not timezone.utc else _elapsed
    try:
        found = find(" ".join(fields), zone, _EPOCH + timedelta(milliseconds=after_ms))
    except (OverflowError, StopIteration):  # beyond the year 9999, or 50 years without a match
        return None
    return round((found - _EPOCH).total_seconds() * 1000)


def _next_time(line: str, after: datetime) -> datetime:
    """The first wall-clock time of a line after another one. Raises StopIteration, DecodeError."""
    simulator, error = _cronsim()
    try:
        found: datetime = next(simulator(line, after))
    except (error, *_MALFORMED) as wrong:
        raise DecodeError(f"a stored schedule's cron {line!r} is no cron line: {wrong}") from wrong
    return found


def _wall_clock(line: str, zone: tzinfo, after: datetime) -> datetime:
    time = after.astimezone(zone).replace(tzinfo=None)
    while True:
        time = _next_time(line, time)
        moment = _moment_of(time, zone)
        if moment > after:
            return moment


def _moment_of(time: datetime, zone: tzinfo) -> datetime:
    """The moment at which a clock shows this time: the first such moment; that of the change if there is none."""
    moment = time.replace(tzinfo=zone).astimezone(timezone.utc)
    if moment.astimezone(zone).replace(tzinfo=None) == time:
        return moment
    return _first_change(zone, moment - _DAY, moment) or moment


def _elapsed(line: str, zone: tzinfo, after: datetime) -> datetime:
    offset = _offset(zone, after)
    start, time = after, after.replace(tzinfo=None) + offset
    while True:
        moment = (_next_time(line, time) - offset).replace(tzinfo=timezone.utc)
        change = None if zone is timezone.utc else _first_change(zone, start, moment)
        if change is None:
            return moment
        start, offset = change, _offset(zone, change)
        time = change.replace(tzinfo=None) + offset - _SECOND  # the change itself may be a moment of the line


def _first_change(zone: tzinfo, low: datetime, high: datetime) -> datetime | None:
    """The first moment after `low`, up to `high`, with another offset than `low`; None if there is none."""
    offset = _offset(zone, low)
    while low < high:
        end = min(low + _DAY, high)
        if _offset(zone, end) != offset:
            return _change_between(zone, low, end)
        low = end
    return None


def _change_between(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    offset = _offset(zone, low)
    while high - low > _SECOND:
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if _offset(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
