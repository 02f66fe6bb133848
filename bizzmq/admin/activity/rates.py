"""The rates of a queue, from the totals that pools note once in ten seconds."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.protocol import totals

WINDOWS_S = (60, 300, 900)
"""The windows of the rates: 1, 5 and 15 minutes."""
_NAMES = (
    "published", "replayed", "acked", "discarded", "dead_lettered", "retried", "cancelled", "expired", "dropped",
)  # fmt: skip
_PERIOD_S = 10
_Totals = Tuple[int, ...]


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
    samples: Sequence[Tuple[bytes, bytes]], stats: Sequence[Tuple[bytes, bytes]], now_ms: int
) -> Mapping[int, Optional[Rate]]:
    """The rate of each window.

    None if no pool has noted the totals in this window. A window that is only partly covered, because the queue or its
    first pool is younger, gives the rate of the covered part.

    Args:
        samples: the fields of the hash `rates`.
        stats: the fields of the hash `stats`.
        now_ms: Redis's clock.
    """
    counted = totals.read(stats).counted
    now = tuple(counted.get(name, 0) for name in _NAMES)
    known = sorted(one for one in map(_sample, (value for _, value in samples)) if one is not None)
    past = [one for one in known if one[0] < now_ms and all(was <= is_ for was, is_ in zip(one[1], now))]
    return {window_s: _rate(past, now, now_ms, window_s) for window_s in WINDOWS_S}


def _rate(past: Sequence[Tuple[int, _Totals]], now: _Totals, now_ms: int, window_s: int) -> Optional[Rate]:
    begins_ms = now_ms - (window_s + _PERIOD_S) * 1000
    within = [one for one in past if one[0] >= begins_ms]
    if not within:
        return None
    stamp_ms, before = within[0]
    minutes = max(now_ms - stamp_ms, _PERIOD_S * 1000) / 60_000
    published, replayed, acked, discarded, dead, retried, *ended = (is_ - was for is_, was in zip(now, before))
    counts = (published + replayed, acked + discarded + dead + sum(ended), retried + discarded + dead)
    return Rate(*(round(count / minutes, 3) for count in counts))


def _sample(stored: bytes) -> Optional[Tuple[int, _Totals]]:
    """The time and the totals of a sample; None if it is forged."""
    parts = stored.split(b" ")
    if len(parts) != 1 + len(_NAMES) or not all(part.isdigit() and len(part) <= 16 for part in parts):
        return None
    stamp_ms, *counts = map(int, parts)
    return stamp_ms, tuple(counts)
