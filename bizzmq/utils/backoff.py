"""Exponential back-off: each wait is twice as long as the one before, up to a limit.

The jitter is "equal jitter": half of the wait is fixed and half is random, so that clients that fail together do not
retry together. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random

_MOST_DOUBLINGS = 60


def doubled(first_s: float, count: int, longest_s: float) -> float:
    """The wait after `count` earlier waits, seconds: `first_s` after none, at most `longest_s`."""
    return min(longest_s, first_s * 2.0 ** min(count, _MOST_DOUBLINGS))


def jittered(wait_s: float, jitter: float | None = None) -> float:
    """Half of the wait plus a random part of the other half. `jitter`, from 0 to 1, replaces the random number."""
    return wait_s * (0.5 + (random.random() if jitter is None else jitter) / 2)
