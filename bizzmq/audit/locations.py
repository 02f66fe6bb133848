"""Where one id is at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator

from bizzmq.broker.messages import BATCH_LIMIT

OWN, DEAD = 0, 1
"""The two sides of a queue: itself, and its dead-letter queue."""


@dataclass(frozen=True)
class Location:
    """A list or set that has an id, and how often. `side` is OWN or DEAD."""

    side: int
    key: bytes
    times: int


@dataclass(frozen=True)
class MessageLocations:
    """Everything that is stored of one id at one moment.

    Attributes:
        stored: whether each side has the message.
        has_attempts: whether each side has attempts of it.
    """

    id: bytes
    stored: tuple[bool, bool]
    has_attempts: tuple[bool, bool]
    locations: tuple[Location, ...]

    def on(self, side: int) -> list[Location]:
        """Its locations on one side."""
        return [location for location in self.locations if location.side == side]


def batches(ids: Iterable[bytes], size: int = BATCH_LIMIT) -> Iterator[list[bytes]]:
    """The ids in lists of at most `size`."""
    all_ids = list(ids)
    for first in range(0, len(all_ids), size):
        yield all_ids[first : first + size]
