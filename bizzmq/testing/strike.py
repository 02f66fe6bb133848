"""Injected faults as values: planned ones and those that have struck."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import Callable, Iterable, Mapping


class Reach(enum.Enum):
    """The runs that a fault may cause to be repeated."""

    NOTHING = "nothing"
    LAST = "the last run of the killed worker"
    POOL = "current and just finished runs of the pool's workers"
    EVERYTHING = "all current and just finished runs: their acks may be lost with a server"


@dataclass(frozen=True)
class Hit:
    """The effect of a fault at the moment it struck.

    Attributes:
        about: a description for people; "" if there was nothing to hit, and nothing has happened.
        heal: undoes the fault; None if there is nothing to undo.
        pids: returns the workers that it reaches; called again when it is undone, to include those being forked.
        former_pids: workers that died earlier, but whose finished messages may not have been acked yet.
        queue: the queue that it stops; "" for all queues.
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
        name: its name for `--faults`.
        strike: injects it; receives random numbers that are the same for the same seed.
        weight: how often it occurs, relative to the others.
        lasts_s: the shortest and the longest time until it is undone.
        alone_in: its group, in which no two faults overlap; "" for no group.
        settles_s: the pause between its end and the next fault of its group.
        is_outage: nothing is acked while it lasts; recovery counts from its end.
        counts_from_strike: recovery counts from its start, because the system itself has to recover.
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
    """A fault that has struck. Monotonic seconds; `healed_s` is infinite until it is undone."""

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
    """A fault that strikes `at_s` seconds after the start and is undone `lasts_s` seconds later."""

    at_s: float
    kind: str
    lasts_s: float
    seed: int


_QUIET_S = 0.5
"""The time after the start without any fault."""
_GAP_S = 1.4
"""The longest time from one fault to the next."""


def plan(seed: int, seconds: float, kinds: Mapping[str, Kind]) -> list[Planned]:
    """The plan of a run, drawn from a seed: it is the same for the same seed, time and kinds.

    The kinds come in rounds, in each round as often as their weight and in another order. If the time is short, faults
    come faster and last shorter: in twelve seconds or more each kind occurs at least once.
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
