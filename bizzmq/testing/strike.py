"""Faults as they are planned and as they have struck: values, for whoever judges without doing."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import Callable, Iterable, Mapping


class Reach(enum.Enum):
    """Which runs a fault may have repeated."""

    NOTHING = "nothing"
    LAST = "the last run of the worker that was killed"
    POOL = "what the pool's workers ran, or had just finished"
    EVERYTHING = "whatever ran, or had just finished: its ack may be lost with a server"


@dataclass(frozen=True)
class Hit:
    """What a fault has done the moment it struck.

    Attributes:
        about: for people; "" if there was nothing to strike, and then nothing has happened.
        heal: undoes it; None if there is nothing to undo.
        pids: tells which workers it reaches; asked again when it is healed, for those that were just being forked.
        former_pids: workers that had died before it, but what they had finished may not have been acked yet.
        queue: the queue that it stops; "" for all.
    """

    about: str = ""
    heal: Callable[[], object] | None = None
    pids: Callable[[], Iterable[int]] = tuple
    former_pids: frozenset[int] = frozenset()
    queue: str = ""


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: what `--faults` calls it.
        strike: does it; gets random numbers that are the same for the same seed.
        weight: how often it comes, in comparison with others.
        lasts_s: the shortest and the longest time until it is healed.
        alone_in: two of one group do not overlap; "" is no group.
        settles_s: so long after it is healed the next of its group may come.
        is_outage: as long as it lasts nothing is acked; recovery counts from its end.
        counts_from_strike: recovery counts from its begin, since healing is the system's own work.
    """

    name: str
    strike: Callable[[random.Random], Hit]
    reach: Reach = Reach.NOTHING
    weight: int = 1
    lasts_s: tuple[float, float] = (0.0, 0.0)
    alone_in: str = ""
    settles_s: float = 0.5
    is_outage: bool = False
    counts_from_strike: bool = False


@dataclass(frozen=True)
class Strike:
    """A fault that has struck. Monotonic seconds; `healed_s` is infinite until it is healed."""

    kind: str
    at_s: float
    about: str
    reach: Reach
    is_outage: bool = False
    counts_from_strike: bool = False
    healed_s: float = float("inf")
    pids: frozenset[int] = frozenset()
    former_pids: frozenset[int] = frozenset()
    queue: str = ""


@dataclass(frozen=True)
class Planned:
    """A fault that is to strike `at_s` seconds after the begin, and to be healed `lasts_s` later."""

    at_s: float
    kind: str
    lasts_s: float
    seed: int


_QUIET_S = 0.5
"""So long after the begin nothing happens."""
_GAP_S = 1.4
"""The longest time from one fault to the next."""


def plan(seed: int, seconds: float, kinds: Mapping[str, Kind]) -> list[Planned]:
    """What is done and when, drawn from a seed: the same for the same seed, time and kinds.

    The kinds come in rounds, in each of them as often as its weight says and in another order; faster and shorter if
    the time is short, so that in a dozen seconds or more each comes at least once.
    """
    rng = random.Random(seed)
    round_ = [name for name in kinds for _ in range(kinds[name].weight)]
    gap_s = min(_GAP_S, 1.4 * max(0.0, seconds - _QUIET_S) / (len(round_) + 1))
    planned: list[Planned] = []
    free_s: dict[str, float] = {}
    bag: list[str] = []
    at_s = _QUIET_S
    while True:
        if not bag:
            bag = rng.sample(round_, len(round_))
        at_s += rng.uniform(0.1, 1.0) * gap_s
        if at_s > seconds or gap_s <= 0:
            return planned
        possible = [name for name in bag if not _is_blocked(kinds[name], free_s, at_s)]
        if not possible:
            continue
        kind = kinds[possible[0]]
        bag.remove(kind.name)
        lasts_s = min(rng.uniform(*kind.lasts_s), seconds / 10, seconds - at_s)
        planned.append(Planned(at_s, kind.name, lasts_s, rng.randrange(1 << 30)))
        if kind.alone_in:
            free_s[kind.alone_in] = at_s + lasts_s + kind.settles_s


def _is_blocked(kind: Kind, free_s: Mapping[str, float], at_s: float) -> bool:
    return bool(kind.alone_in) and at_s < free_s.get(kind.alone_in, 0.0)
