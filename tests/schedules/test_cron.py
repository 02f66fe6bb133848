"""Cron lines in time zones whose clocks change: what docs/guide/schedules.md says, and a check of every minute."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Iterator, List, Set

import pytest

from bizzmq.errors import ConfigurationError
from bizzmq.schedules.cron import checked_cron, checked_timezone, next_ms, zone_of

CronSim = pytest.importorskip("cronsim").CronSim
BERLIN, NEW_YORK, LORD_HOWE, APIA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def times(line: str, zone: str, start: str, count: int) -> List[str]:
    """The next times after a moment (ISO 8601, UTC), as the clock of the zone shows them."""
    found, moment = [], ms(datetime.fromisoformat(start).replace(tzinfo=timezone.utc))
    for _ in range(count):
        following = next_ms(line, zone, moment)
        assert following is not None
        moment = following
        found.append((_EPOCH + timedelta(milliseconds=moment)).astimezone(zone_of(zone)).strftime("%d %H:%M%z"))
    return found


def ms(moment: datetime) -> int:
    return round((moment - _EPOCH).total_seconds() * 1000)


CHANGES = [
    # The clock goes from 2:00 to 3:00: a time between fires at 3:00, and once.
    ("30 2 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00+0200", "30 02:30+0200"]),
    ("15,45 2 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00+0200", "30 02:15+0200"]),
    ("30 2 * * *", NEW_YORK, "2026-03-07T12:00", ["08 03:00-0400", "09 02:30-0400"]),
    # From 3:00 back to 2:00: a time between fires at its first moment only.
    ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["25 02:30+0200", "26 02:30+0100"]),
    ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["01 01:30-0400", "02 01:30-0500"]),
    # Lines with a star in minute or hour go on by elapsed time.
    ("*/30 * * * *", BERLIN, "2026-03-29T00:00", ["29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]),
    ("*/30 * * * *", BERLIN, "2026-10-25T00:00", ["25 02:30+0200", "25 02:00+0100", "25 02:30+0100", "25 03:00+0100"]),
    ("0 * * * *", NEW_YORK, "2026-11-01T04:30", ["01 01:00-0400", "01 01:00-0500", "01 02:00-0500"]),
    # Lord Howe goes from 2:00 to 2:30, and from 2:00 back to 1:30.
    ("15 2 * * *", LORD_HOWE, "2026-10-03T02:00", ["04 02:30+1100", "05 02:15+1100"]),
    ("45 1 * * *", LORD_HOWE, "2026-04-04T02:00", ["05 01:45+1100", "06 01:45+1030"]),
    ("*/15 1 * * *", LORD_HOWE, "2026-04-04T14:20",
     ["05 01:30+1100", "05 01:45+1100", "05 01:30+1030", "05 01:45+1030", "06 01:00+1030"]),
    ("*/20 3 * * *", LORD_HOWE, "2026-10-03T02:00", ["04 03:00+1100", "04 03:20+1100", "04 03:40+1100"]),
    # Apia left out the 30th of December 2011: what was due on it fires when the 31st begins.
    ("0 3 * * *", APIA, "2011-12-29T12:00", ["29 03:00-1000", "31 00:00+1400", "31 03:00+1400"]),
    ("0 3 30 12 *", APIA, "2011-12-29T12:00", ["31 00:00+1400", "30 03:00+1400"]),
    ("*/30 * * * *", APIA, "2011-12-30T09:00", ["29 23:30-1000", "31 00:00+1400"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "zone", "start", "expected"), CHANGES)
def test_a_change_of_the_clock(line: str, zone: str, start: str, expected: List[str]) -> None:
    assert times(line, zone, start, len(expected)) == expected


@pytest.mark.parametrize("line", ["30 2 * * *", "*/15 2 * * *", "15 1,2,3 * * *", "*/7 1-3 * * *", "5 */2 * * *"])
@pytest.mark.parametrize(("zone", "day"), [
    (BERLIN, "2026-03-28T20:00"), (BERLIN, "2026-10-24T20:00"), (NEW_YORK, "2026-03-08T02:00"),
    (NEW_YORK, "2026-11-01T02:00"), (LORD_HOWE, "2026-04-04T10:00"), (LORD_HOWE, "2026-10-03T10:00"),
])  # fmt: skip
def test_each_minute_around_a_change(line: str, zone: str, day: str) -> None:
    """The same as a search of each minute, which knows nothing of changes. cronsim alone fails this on Lord Howe."""
    start = datetime.fromisoformat(day).replace(tzinfo=timezone.utc)
    end = start + timedelta(hours=10)

    found, moment = [], ms(start)
    while True:
        following = next_ms(line, zone, moment)
        if following is None or following > ms(end):
            break
        moment = following
        found.append(_EPOCH + timedelta(milliseconds=moment))

    assert found == sorted(one for one in searched(line, zone, start, end) if start < one <= end)


def searched(line: str, zone: str, start: datetime, end: datetime) -> Set[datetime]:
    fields, clock = line.split(), zone_of(zone)
    minutes = [start - timedelta(hours=3) + timedelta(minutes=n) for n in range(16 * 60)]
    shown = [(moment.astimezone(clock).replace(tzinfo=None), moment) for moment in minutes]
    if fields[0].startswith("*") or fields[1].startswith("*"):
        wanted = set(matching(line, shown[0][0], shown[-1][0]))
        return {moment for time, moment in shown if time in wanted}
    first_of = dict(reversed(shown))
    found = set()
    for time in matching(line, shown[0][0], shown[-1][0]):
        while time not in first_of:
            time += timedelta(minutes=1)  # noqa: PLW2901 - the end of the gap
        found.add(first_of[time])
    return found


def matching(line: str, low: datetime, high: datetime) -> Iterator[datetime]:
    for time in CronSim(line, low - timedelta(minutes=1)):
        if time > high:
            return
        yield time


@pytest.mark.parametrize(("line", "problem"), [
    ("0 0 31 2 *", "cron '0 0 31 2 *' never fires: no month has such a day"),
    ("0 0 30 feb *", "cron '0 0 30 feb *' never fires: no month has such a day"),
    ("0 0 29 2 mon#6", "cron '0 0 29 2 mon#6' is no cron line: bad day-of-week"),
    ("60 * * * *", "cron '60 * * * *' is no cron line: bad minute"),
    ("* * * *", "cron must be a cron line of 5 fields such as '0 3 * * *', not '* * * *'"),
    ("* * * * * *", "cron must be a cron line of 5 fields such as '0 3 * * *', not '* * * * * *'"),
    ("@often", "cron must be a cron line of 5 fields such as '0 3 * * *', not '@often'"),
    (5, "cron must be a cron line of 5 fields such as '0 3 * * *', not 5"),
    ("", "cron must be a cron line of 5 fields such as '0 3 * * *', not ''"),
    ("0 0 L/2 * *", ""),
    ("* * * * L", "cron '* * * * L' is no cron line: bad day-of-week"),
])  # fmt: skip
def test_a_line_that_is_wrong_or_never_fires_is_refused_in_one_sentence(line: object, problem: str) -> None:
    if not problem:
        checked_cron(line, "UTC")  # cronsim takes it for L
        return
    with pytest.raises(ConfigurationError) as wrong:
        checked_cron(line, "UTC")

    assert str(wrong.value) == problem


@pytest.mark.parametrize(
    "line", ["0 0 29 2 *", "@daily", " 0  3 * * MON-FRI ", "0 0 L * *", "0 0 * * 5L", "*/5 9-17 * * 1-5"]
)
def test_a_line_is_kept_as_given(line: str) -> None:
    assert checked_cron(line, "UTC") == " ".join(line.split())


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "Europe", "/etc/localtime", 5, None])
def test_an_unknown_time_zone_is_refused(name: object) -> None:
    with pytest.raises(ConfigurationError, match="timezone must be the name of a time zone such as Europe/Berlin, not"):
        checked_timezone(name)
