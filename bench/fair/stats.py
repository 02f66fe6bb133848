"""Medians, percentiles and confidence intervals."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import Callable, Sequence

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by this share of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def bootstrap(pairs: Sequence[tuple[float, ...]], figure: Callable[[Sequence[tuple[float, ...]]], float],
              seed: int = 1) -> Estimate:  # fmt: skip
    """The figure of these rounds and its 95% bootstrap interval: rounds are drawn with replacement.

    A round is drawn as a whole, so that conditions which its arms share (such as the load) cancel out in a ratio.
    """
    rng = random.Random(seed)
    drawn = sorted(figure([rng.choice(pairs) for _ in pairs]) for _ in range(RESAMPLES))
    tail = (1 - CONFIDENCE) / 2
    return Estimate(figure(pairs), percentile(drawn, tail), percentile(drawn, 1 - tail))


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """The ratio of two arms: the median over all rounds."""
    return bootstrap(list(zip(above, below)), _ratio_of_medians)


def _ratio_of_medians(pairs: Sequence[tuple[float, ...]]) -> float:
    above, below = zip(*pairs)
    return float(statistics.median(above) / statistics.median(below))


def of(values: Sequence[float], figure: Callable[[Sequence[float]], float] = statistics.median) -> Estimate:
    """The median or another figure of single values."""
    return bootstrap([(value,) for value in values], lambda rows: figure([row[0] for row in rows]))


def noise_floor(first: Sequence[float], second: Sequence[float]) -> float:
    """How far the ratio of two equal arms is from 1 at the worse end of its interval: 0.1 means 10%."""
    same = ratio(first, second)
    return max(abs(same.low - 1), abs(same.high - 1))
