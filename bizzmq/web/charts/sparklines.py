"""Sparklines: small charts without axes, one in a row of a table."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Optional, Sequence

from bizzmq.admin.activity.rates import Rate
from bizzmq.web.charts.paths import area

HOURS = 24


class Sparkline(NamedTuple):
    """What a template needs to draw one.

    Attributes:
        whole, failed: paths; "" for nothing.
        width: the number of steps.
        most: the highest number.
    """

    whole: str
    failed: str
    width: int
    most: float


def of_minutes(minutes: Sequence[Optional[Rate]]) -> Optional[Sparkline]:
    """What was done, and what failed, in each of the last minutes; None if nothing was."""
    failed = [rate.failed if rate else 0.0 for rate in minutes]
    whole = [max(rate.outgoing, rate.failed) if rate else 0.0 for rate in minutes]
    most = max(whole, default=0.0)
    return Sparkline(area(whole, most), area(failed, most), len(whole), most) if most else None


def of_hours(counts: Mapping[int, int], now_s: float) -> Optional[Sparkline]:
    """How often something has failed in each of the last 24 hours; None if it has not.

    Args:
        counts: by the number of the hour since the epoch.
    """
    last = int(now_s // 3600)
    numbers: List[float] = [float(counts.get(hour, 0)) for hour in range(last - HOURS + 1, last + 1)]
    most = max(numbers)
    return Sparkline("", area(numbers, most), HOURS, most) if most else None


def added(rows: Sequence[Sequence[Optional[Rate]]]) -> List[Optional[Rate]]:
    """The minutes of several queues together."""
    found: List[Optional[Rate]] = []
    for some in zip(*(row for row in rows if row)):
        known = [rate for rate in some if rate is not None]
        found.append(Rate(*map(sum, zip(*known))) if known else None)
    return found
