"""Where one id was at one moment, and which keys the scripts want that look for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, Sequence

from bizzmq.broker import BATCH_LIMIT
from bizzmq.keys import QueueKeys

OWN, DEAD = 0, 1
"""The two sides of a queue: itself, and its dead-letter queue."""


@dataclass(frozen=True)
class Place:
    """Where an id stands, and how often. `side` is OWN or DEAD."""

    side: int
    key: bytes
    times: int


@dataclass(frozen=True)
class Sight:
    """All that is known of one id at one moment.

    Attributes:
        stored, counted: whether the messages and the attempts of each side have it.
    """

    id: bytes
    stored: tuple[bool, bool]
    counted: tuple[bool, bool]
    places: tuple[Place, ...]

    def at(self, side: int) -> list[Place]:
        """Its places on that side."""
        return [place for place in self.places if place.side == side]


def _looked_at(k: QueueKeys) -> list[str]:
    return [k.messages, k.attempts, k.workers, k.waiting, k.parked, k.prioritized, k.delayed]


def batches(ids: Iterable[bytes], size: int = BATCH_LIMIT) -> Iterator[list[bytes]]:
    """The ids, so many at a time."""
    all_ids = list(ids)
    for first in range(0, len(all_ids), size):
        yield all_ids[first : first + size]


def inspect_keys(sides: Sequence[QueueKeys]) -> list[str]:
    """The keys of `inspect`, and of `unify`, before the processing lists."""
    return [*_looked_at(sides[OWN]), *_looked_at(sides[DEAD])]


def restore_keys(sides: Sequence[QueueKeys], side: int) -> list[str]:
    """The keys of `restore` for messages of that side, before the processing lists."""
    k, other = sides[side], sides[1 - side]
    others = [other.messages, other.workers, other.waiting, other.parked, other.prioritized, other.delayed]
    return [*_looked_at(k), k.wake, k.stats, *others]
