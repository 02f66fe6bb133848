"""The rates of a queue, from the samples of its history."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.metrics.history import read_ages, read_recent
from bizzmq.metrics.steps import TOTALS, Sample
from bizzmq.protocol import totals

WINDOWS_S = (60, 300, 900)
"""The windows of the rates: 1, 5 and 15 minutes."""
MINUTES = 15
"""The minutes whose rates are known one by one."""
_INCOMING = ("published", "replayed")
_OUTGOING = ("acked", "discarded", "dead_lettered", "cancelled", "expired", "dropped")
_FAILED = ("retried", "discarded", "dead_lettered")
_PLACES = [[TOTALS.index(name) for name in names] for names in (_INCOMING, _OUTGOING, _FAILED)]
_PERIOD_S = 10
_DIGITS = 16


class Rate(NamedTuple):
    """Messages a minute.

    Attributes:
        incoming: published or replayed.
        outgoing: acked, dead-lettered, discarded, cancelled, expired or dropped.
        failed: attempts that have failed: retried, dead-lettered or discarded.
    """

    incoming: float
    outgoing: float
    failed: float


def rates_of(
    recent: Optional[bytes], stats: Sequence[Tuple[bytes, bytes]], now_ms: int
) -> Mapping[int, Optional[Rate]]:
    """The rate of each window.

    None if no pool has looked at the queue in this window. A window that is only partly covered, because the queue or
    its first pool is younger, gives the rate of the covered part.

    Args:
        recent: the field of this name of the hash `metrics`.
        stats: the fields of the hash `stats`.
        now_ms: Redis's clock.
    """
    return rates_between(samples_of(recent, stats, now_ms))


def samples_of(recent: Optional[bytes], stats: Sequence[Tuple[bytes, bytes]], now_ms: int) -> Sequence[Sample]:
    """The totals of the last minutes, as pools have noted them, oldest first. The last ones are those of now.

    Args: as for `rates_of`.
    """
    now = _sample_of_stats(stats, now_ms)
    chosen, count = _chosen(recent or b"", now_ms)
    past = _past(chosen, now)
    return [*(past if len(past) == count else _past(recent, now)), now]


def _past(recent: Optional[bytes], now: Sample) -> Sequence[Sample]:
    return [one for one in read_recent(recent) if one.at_ms < now.at_ms and _is_before(one.totals, now.totals)]


def _chosen(recent: bytes, now_ms: int) -> Tuple[bytes, int]:
    """The lines of those samples that rates and minutes are made of, and how many they are.

    To read all of them would be most of the work for a queue.
    """
    stamped = [(line.partition(b" ")[0], line) for line in recent.split(b"\n")]
    known = sorted((int(stamp), line) for stamp, line in stamped if stamp.isdigit() and len(stamp) <= _DIGITS)
    times = [at_ms for at_ms, _ in known]
    begins = [now_ms - (window_s + _PERIOD_S) * 1000 for window_s in WINDOWS_S]
    ends = [now_ms - minute * 60_000 for minute in range(MINUTES + 1)]
    wanted = {0, *(bisect_left(times, at) for at in begins), *(bisect_right(times, at) - 1 for at in ends)}
    chosen = [known[place][1] for place in sorted(wanted) if 0 <= place < len(known)]
    return b"\n".join(chosen), len(chosen)


def rates_between(samples: Sequence[Sample]) -> Mapping[int, Optional[Rate]]:
    """As `rates_of`, from the samples."""
    return {window_s: _rate(samples[:-1], samples[-1], window_s) for window_s in WINDOWS_S}


def minutes_of(samples: Sequence[Sample]) -> Tuple[Optional[Rate], ...]:
    """The rate of each of the last 15 minutes, oldest first; None for the minutes before the first sample.

    What has happened while no pool was there is in the minute of the next sample. Empty if no pool was there at all.
    """
    if len(samples) < 2:
        return ()
    now_ms, before, at = samples[-1].at_ms, None, 0
    found: List[Optional[Rate]] = []
    for minute in range(MINUTES, -1, -1):
        while at < len(samples) and samples[at].at_ms <= now_ms - minute * 60_000:
            at += 1
        last = samples[at - 1] if at else None
        if minute < MINUTES:
            found.append(None if last is None else _grown(before or samples[0], last))
        before = last
    return tuple(found)


def ages_of(stored: Optional[bytes], now_ms: int) -> Tuple[Optional[float], ...]:
    """The highest age of the oldest message in each of the last 15 minutes, seconds, oldest first.

    None for the minutes in which no pool has looked. Empty if none has looked in any of them.

    Args:
        stored: the field `ages` of the hash `metrics`.
        now_ms: Redis's clock.
    """
    known = read_ages(stored)
    found: List[Optional[float]] = []
    for minute in range(MINUTES, 0, -1):
        first, last = (now_ms - minute * 60_000) // 60_000, (now_ms - (minute - 1) * 60_000) // 60_000
        ages = [known[number] for number in (first, last) if number in known]
        found.append(max(ages, default=None))
    return tuple(found) if any(age is not None for age in found) else ()


def _grown(before: Sample, now: Sample) -> Rate:
    were, are = before.totals, now.totals
    return Rate(*[float(sum([are[place] - were[place] for place in places])) for places in _PLACES])


def _is_before(one: Tuple[int, ...], other: Tuple[int, ...]) -> bool:
    """Whether totals can have grown to others; not if the queue was deleted meanwhile."""
    return all(was <= is_ for was, is_ in zip(one, other))


def _sample_of_stats(stats: Sequence[Tuple[bytes, bytes]], now_ms: int) -> Sample:
    """The totals at this moment, from the fields of the hash `stats`."""
    counted = totals.read(stats).counted
    return Sample(now_ms, *(counted.get(name, 0) for name in TOTALS), *[0] * (len(Sample._fields) - 1 - len(TOTALS)))


def _rate(past: Sequence[Sample], now: Sample, window_s: int) -> Optional[Rate]:
    begins_ms = now.at_ms - (window_s + _PERIOD_S) * 1000
    before = next((one for one in past if one.at_ms >= begins_ms), None)
    if before is None:
        return None
    minutes = max(now.at_ms - before.at_ms, _PERIOD_S * 1000) / 60_000
    return Rate(*(round(count / minutes, 3) for count in _grown(before, now)))
