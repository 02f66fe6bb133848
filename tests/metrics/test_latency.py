"""Quantiles of a histogram: within the range of the true one, and never above what the sum allows."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizzmq.metrics.columns import RANGES
from bizzmq.metrics.series import Latency


def latency_of(times_s: Sequence[float]) -> Latency:
    counts = [0] * RANGES
    for time_s in times_s:
        counts[bisect_left(Latency.BOUNDS_S, time_s)] += 1
    return Latency(sum(times_s), tuple(counts))


@given(st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_the_range_of_the_true_one(times_s: list[float], share: float) -> None:
    found = latency_of(times_s).quantile_s(share)

    true = sorted(times_s)[math.ceil(share * len(times_s)) - 1]
    bounds = (0.0, *Latency.BOUNDS_S, math.inf)
    at = bisect_left(Latency.BOUNDS_S, true)
    assert found is not None
    assert bounds[at] <= found <= bounds[at + 1]


@pytest.mark.parametrize(
    ("times_s", "share", "found"),
    [
        ([5.002], 0.5, 5.001),
        ([5.002], 0.99, 5.002),
        ([0.002, 5.002], 0.95, 5.003),
        ([], 0.5, None),
        ([70_000.0], 1, 7e4),
    ],
)
def test_the_only_long_time_is_nearly_exact(times_s: list[float], share: float, found: float | None) -> None:
    assert latency_of(times_s).quantile_s(share) == (None if found is None else pytest.approx(found, abs=0.002))
