"""The explorations that run with every test run, and the deeper ones of the nightly run."""

from __future__ import annotations

from functools import lru_cache
from typing import Dict

from tests.model.explorer import Exploration, explore
from tests.model.world import Rules

TWO = ("m1", "m2")
QUICK: Dict[str, Rules] = {
    "two faults": Rules(faults=2, generations=1),
    "two faults, retried and discarded": Rules(faults=2, generations=1, is_later=True, is_dead_lettered=False),
    "a fault on either host": Rules(faults=1, frail=(0, 1)),
    "a fault in a batch": Rules(messages=TWO, want=2, faults=1, max_retries=0),
    "a batch on one host, retried": Rules(messages=TWO, want=2, faults=2, supervisors=1),
    "a late release in a batch": Rules(
        messages=TWO,
        is_published=True,
        want=2,
        faults=2,
        generations=1,
        max_retries=0,
        supervisors=1,
        late=("release",),
    ),
    "a late release of prefetched messages in a batch": Rules(
        messages=(*TWO, "m3"),
        want=2,
        faults=2,
        generations=1,
        max_retries=1,
        supervisors=1,
        releases_prefetched=True,
        late=("release_prefetched",),
    ),
    "published while a fault strikes": Rules(
        messages=TWO, priorities=(0, 5), is_published=True, want=2, faults=1, generations=1, max_retries=0
    ),
}
DEEP: Dict[str, Rules] = {
    "two faults, two generations": Rules(faults=2),
    "two faults, delayed": Rules(faults=2, is_later=True, is_dead_lettered=False),
    "two faults in a batch": Rules(messages=TWO, want=2, faults=2, generations=1, max_retries=0),
    "a fault in a batch, retried, two hosts": Rules(messages=TWO, want=2, faults=1),
    "a release of prefetched messages and two faults": Rules(
        messages=TWO, want=2, faults=3, generations=1, max_retries=1, releases_prefetched=True,
        late=("release_prefetched", "claim", "release"),
    ),
    "three faults": Rules(faults=3, max_retries=0, generations=1),
    "published while two faults strike": Rules(messages=TWO, is_published=True, want=2, faults=2, generations=1,
                                               max_retries=0),
}  # fmt: skip

SCENARIOS = {**QUICK, **DEEP}


@lru_cache(maxsize=None)
def explored(name: str) -> Exploration:
    """Result of the exploration with this name, cached for the run."""
    return explore(SCENARIOS[name])
