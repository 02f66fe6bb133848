"""The rates of a queue, from the samples of its history."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.metrics.history import read_recent
from bizzmq.metrics.steps import TOTALS, Sample
from bizzmq.protocol import totals

WINDOWS_S = (60, 300, 900)
"""The windows of the rates: 1, 5 and 15 minutes."""
_INCOMING = ("published", "replayed")
_OUTGOING = ("acked", "discarded", "dead_lettered", "cancelled", "expired", "dropped")
_FAILED = ("retried", "discarded", "dead_lettered")
_PERIOD_S = 10


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
    now = _sample_of_stats(stats, now_ms)
    totals = now.totals
    past = [one for one in read_recent(recent) if one.at_ms < now_ms and _is_before(one.totals, totals)]
    return {window_s: _rate(past, now, window_s) for window_s in WINDOWS_S}


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
    grown = dict(zip(TOTALS, (is_ - was for is_, was in zip(now.totals, before.totals))))
    counts = (sum(grown[name] for name in names) for names in (_INCOMING, _OUTGOING, _FAILED))
    return Rate(*(round(count / minutes, 3) for count in counts))
