"""Detects steady growth: the median of each part of the time exceeds that of the part before."""

from __future__ import annotations

import statistics
from typing import Callable, Mapping, NamedTuple, Sequence

from tests.soak.sampler import Sample

LEAST_SAMPLES = 60
_WARM_UP, _PARTS = 5, 4


class Series(NamedTuple):
    """A measured value that must not grow. Growth below `slack`, or below a sixth, is noise."""

    of: Callable[[Sample], float]
    slack: float


WATCHED: Mapping[str, Series] = {
    "memory of the lasting pool (PSS), MB": Series(lambda sample: sample.lasting.pss_mb, 5.0),
    "descriptors of the lasting pool": Series(lambda sample: sample.lasting.descriptors, 8.0),
    "connections": Series(lambda sample: sample.connections, 8.0),
    "memory of the servers, MB": Series(lambda sample: sample.redis_mb, 8.0),
}


def medians(values: Sequence[float]) -> list[float]:
    """The median of each quarter of the time, without the first fifth as warm-up; [] if that is too short."""
    if len(values) < LEAST_SAMPLES:
        return []
    rest = values[len(values) // _WARM_UP :]
    size = len(rest) // _PARTS
    return [statistics.median(rest[part * size : (part + 1) * size]) for part in range(_PARTS)]


def grows(parts: Sequence[float], slack: float) -> bool:
    """Whether each part exceeds the one before, and the last exceeds the first by more than noise."""
    if not parts:
        return False
    steady = all(one < other for one, other in zip(parts, parts[1:]))
    return steady and parts[-1] > parts[0] + max(slack, parts[0] / 6)
