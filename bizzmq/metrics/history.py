"""The history of a queue in Redis: one hash, of which this module knows the fields.

* `r:POOL:NUMBER`: a report: a line with the time and a sample of the queue, then what the pool has measured. Reports
  are younger than about a minute.
* `s:N`, `m:N`, `h:N`: chunks of ten minutes by 10 s, of an hour by minutes, and of a day by hours.
* `d:POOL`: when the pool was started, and what it runs.
* `recent`: lines of a time and the totals of the queue, of about the last 15 minutes, for rates.
* `ages`: lines of a minute and the highest age of the oldest message in it, of about the last 15 minutes.
* `u:POOL`, `w:POOL`: what the pool and its slots use (`pool_usage.py`). They go with the pool.
* `p:POOL`: the number and the time of the pool's last report. `sampled` and `v`: what the scripts compare.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.errors import DecodeError
from bizzmq.metrics.chunk import Chunk, decode
from bizzmq.metrics.steps import SAMPLE_FIELDS, TOTALS, Sample, Step

VERSION, RECENT, AGES = b"v", b"recent", b"ages"
REPORT, DEPLOY, POOL, USAGE, SLOTS = b"r:", b"d:", b"p:", b"u:", b"w:"
_MOST_DEPLOYS = 100
_POOL_LIFE_MS = 24 * 3600 * 1000
"""A report that is sent again is known for this time."""
_DIGITS = 16
_RECENT_FIELDS = 1 + len(TOTALS)


class Level(NamedTuple):
    """Chunks of one width.

    Attributes:
        letter: of their fields.
        step_s: the length of a step.
        chunk_s: the length of a chunk.
        kept: how many chunks are kept beside the one that grows.
        most_bytes: the size of a chunk beyond which it becomes coarser.
    """

    letter: bytes
    step_s: int
    chunk_s: int
    kept: int
    most_bytes: int

    def field(self, number: int) -> bytes:
        """The field of a chunk."""
        return b"%s:%d" % (self.letter, number)

    def chunk_of(self, at_ms: int) -> int:
        """The number of the chunk that contains a time."""
        return at_ms // (self.chunk_s * 1000)

    def step_of(self, at_ms: int) -> int:
        """The number of the step that contains a time, within its chunk."""
        return at_ms // 1000 % self.chunk_s // self.step_s

    @property
    def reach_s(self) -> int:
        """How far back it reaches."""
        return self.kept * self.chunk_s


LEVELS = (
    Level(b"s", 10, 600, 6, 15_000),
    Level(b"m", 60, 3600, 48, 12_500),
    Level(b"h", 3600, 86_400, 30, 7_500),
)
"""An hour by 10 s, two days by minutes, 30 days by hours: below 1 MB for a queue with 100 busy tasks."""


def is_number(text: bytes) -> bool:
    """Whether a stored text is a number. A forged one may be longer than any that is stored."""
    return text.isdigit() and len(text) <= _DIGITS


class Report(NamedTuple):
    """A report of a pool.

    Attributes:
        step: what was measured, and the sample.
    """

    at_ms: int
    step: Step


def read_report(stored: bytes) -> Optional[Report]:
    """A stored report; None if it is forged."""
    line, _, measured = stored.partition(b"\n")
    parts = line.split(b" ")
    if len(parts) != len(SAMPLE_FIELDS) or not all(map(is_number, parts)):
        return None
    sample = Sample(*map(int, parts))
    try:
        step = measured_step(measured)
    except DecodeError:
        step = Step()
    step.sample = sample if sample.at_ms else None
    return Report(sample.at_ms, step)


def read_recent(stored: Optional[bytes]) -> List[Sample]:
    """The samples in `recent`, oldest first. They have no lengths."""
    found, missing = [], [0] * (len(SAMPLE_FIELDS) - _RECENT_FIELDS)
    for line in (stored or b"").split(b"\n"):
        parts = line.split(b" ")
        if len(parts) == _RECENT_FIELDS and all(map(is_number, parts)):
            found.append(Sample(*map(int, parts), *missing))
    return sorted(found)


def read_ages(stored: Optional[bytes]) -> Dict[int, float]:
    """The ages in `ages`, seconds, by the number of the minute since the epoch."""
    pairs = [line.split(b" ") for line in (stored or b"").split(b"\n")]
    return {int(pair[0]): int(pair[1]) / 1000 for pair in pairs if len(pair) == 2 and all(map(is_number, pair))}


def measured_step(measured: bytes) -> Step:
    """The step of `measured_bytes`. Raises DecodeError."""
    return decode(measured).steps.get(0, Step()) if measured else Step()


def measured_bytes(step: Step) -> bytes:
    """What a pool has measured, for its report; empty for nothing."""
    return Chunk({0: step}).encode() if step.rows else b""


def read_chunk(stored: Optional[bytes]) -> Chunk:
    """A stored chunk; an empty one if there is none, or it is unreadable."""
    try:
        return decode(stored) if stored else Chunk()
    except DecodeError:
        return Chunk()


class RollUp(NamedTuple):
    """What a roll-up writes.

    Attributes:
        chunks: by field.
        obsolete: fields to delete.
    """

    chunks: Mapping[bytes, bytes]
    obsolete: Sequence[bytes]


def fields_of(reports: Iterable[Report]) -> List[bytes]:
    """The fields of the chunks to which reports belong."""
    return sorted({level.field(level.chunk_of(report.at_ms)) for report in reports for level in LEVELS})


def roll_up(
    reports: Mapping[bytes, Optional[Report]],
    chunks: Mapping[bytes, Optional[bytes]],
    others: Mapping[bytes, bytes],
    names: Sequence[bytes],
    now_ms: int,
) -> RollUp:
    """Add reports to the chunks.

    Args:
        reports: by field; None for a forged one, which is dropped.
        chunks: by field, those of `fields_of`.
        others: the fields of deploys and pools.
        names: all fields.
    """
    grown: Dict[bytes, Tuple[Level, Chunk]] = {}
    for report in reports.values():
        if report is None:
            continue
        for level in LEVELS:
            field = level.field(level.chunk_of(report.at_ms))
            if field not in grown:
                grown[field] = level, read_chunk(chunks.get(field))
            grown[field][1].add(level.step_of(report.at_ms), report.step)
    encoded = {field: chunk.encode(level.most_bytes) for field, (level, chunk) in grown.items()}
    obsolete = [*reports, *_outdated(names, now_ms), *_outdated_pools(others, now_ms)]
    return RollUp(encoded, [field for field in obsolete if field not in encoded])


def _outdated(names: Sequence[bytes], now_ms: int) -> List[bytes]:
    """The chunks that are too old, or of a time to come, which only a clock that was set back explains."""
    found = []
    for level in LEVELS:
        current = level.chunk_of(now_ms)
        for name in names:
            letter, _, number = name.partition(b":")
            if letter == level.letter and not (
                number.isdigit() and current - level.kept <= int(number[:_DIGITS]) <= current + 1
            ):
                found.append(name)
    return found


def _outdated_pools(others: Mapping[bytes, bytes], now_ms: int) -> List[bytes]:
    since_ms = now_ms - _POOL_LIFE_MS
    gone = [name for name, value in others.items() if name.startswith(POOL) and _stamp(value, 1) < since_ms]
    pools = [kind + name[len(POOL) :] for name in gone for kind in (POOL, USAGE, SLOTS)]
    deploys = sorted((_stamp(value, 0), name) for name, value in others.items() if name.startswith(DEPLOY))
    oldest_ms = now_ms - LEVELS[-1].reach_s * 1000
    excess = max(0, len(deploys) - _MOST_DEPLOYS)
    return pools + [name for place, (at_ms, name) in enumerate(deploys) if place < excess or at_ms < oldest_ms]


def _stamp(value: bytes, place: int) -> int:
    """The time in a stored value; 0 if it has none."""
    parts = value.split(b" ", place + 1)
    text = parts[place] if len(parts) > place else b""
    return int(text) if is_number(text) else 0
