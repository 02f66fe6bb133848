"""Pages of a list or a sorted set that changes while it is read.

A position says where the next page begins: by the messages that it begins with, because indexes move. Work for one page
is bounded, however long the list is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence, Tuple

from bizzmq.broker.operations import Operation, command
from bizzmq.errors import DecodeError
from bizzmq.protocol.attempts import NO_ATTEMPTS, Attempts

ANCHORS = 10
"""The ids after a page that are remembered. The next page begins with the first of them that is still in its place."""
_AHEAD, _WINDOW, _WINDOWS, _OVERLAP = 200, 1000, 10, 100
FOUND_WITHIN = _WINDOW * _WINDOWS
"""If more ids than this leave a list between two pages, the next page may leave some out."""

Anchor = Tuple[bytes, int]
"""An id, and the number of its next delivery: a retried message, which has another one, is no longer in its place."""


class Position(NamedTuple):
    """Where a page begins.

    Attributes:
        offset: how many ids were before it when the last page was read; the head of a list is its right end.
        score: the score of the last id, in a set.
        anchors: the first ids of this page, in a list; the last id of the last page, in a set. Empty to begin at the
            offset.
    """

    offset: int = 0
    score: float = -math.inf
    anchors: tuple[Anchor, ...] = ()


class Page(NamedTuple):
    """Ids in order, their scores (0 in a list), and where the next page begins; None at the end."""

    ids: Sequence[bytes]
    scores: Sequence[float]
    following: Position | None


@dataclass(frozen=True)
class IdList:
    """A list, from its head, the right end. `attempts` is the hash of the attempts of its messages."""

    key: str | bytes
    attempts: str

    def size(self) -> Operation[int]:
        """The number of ids."""
        return int((yield command("LLEN", self.key)))

    def page(self, position: Position, limit: int) -> Operation[Page]:
        """Up to `limit` ids from a position on."""
        start = yield from self._start(position)
        ids = yield from self.slice(start, start + limit + ANCHORS)
        if len(ids) <= limit:
            return Page(ids, [0.0] * len(ids), None)
        deliveries = yield from self.deliveries(ids[limit:])
        following = Position(start + limit, 0.0, tuple(zip(ids[limit:], deliveries)))
        return Page(ids[:limit], [0.0] * limit, following)

    def _start(self, position: Position) -> Operation[int]:
        """The index of the first anchor that is in its place.

        If none is there, workers have claimed them, and before them everything that was nearer to the head.
        """
        if not position.anchors:
            return position.offset
        places, searched_from = yield from self.places(position)
        return min(places) if places else searched_from

    def places(self, position: Position) -> Operation[tuple[list[int], int]]:
        """The indexes of the anchors that are in their places: nearer to the head than before, or behind requeued ones.

        Also the index from which on the list was searched.
        """
        deliveries = yield from self.deliveries([message_id for message_id, _ in position.anchors])
        left = {anchor[0] for anchor, now in zip(position.anchors, deliveries) if anchor[1] == now}
        low = position.offset + _AHEAD
        for _ in range(_WINDOWS):
            high, low = low + _OVERLAP, max(0, low - _WINDOW)
            ids = yield from self.slice(low, high)
            found = [low + number for number, message_id in enumerate(ids) if message_id in left]
            if found:
                # A forged copy may be there too: the one that has moved least is the anchor.
                nearest = {ids[at - low]: at for at in sorted(found, key=lambda at: -abs(at - position.offset))}
                return list(nearest.values()), low
            if low == 0:
                break
        return [], low

    def slice(self, first: int, end: int) -> Operation[list[bytes]]:
        """The ids from an index up to another one, excluded."""
        newest_first: Any = yield command("LRANGE", self.key, -end, -first - 1)
        return list(reversed(newest_first))

    def deliveries(self, ids: Sequence[bytes]) -> Operation[list[int]]:
        """The number of the next delivery of each id."""
        stored: Any = yield command("HMGET", self.attempts, *ids)
        return [read_attempts(counts).delivery for counts in stored]


@dataclass(frozen=True)
class IdSet:
    """The ids of a sorted set whose scores are at least `low` and less than `high`."""

    key: str
    low: float = -math.inf
    high: float = math.inf

    def size(self) -> Operation[int]:
        """The number of ids."""
        return (yield from self.rank(self.high, b"")) - (yield from self.rank(self.low, b""))

    def page(self, position: Position, limit: int) -> Operation[Page]:
        """Up to `limit` ids after the anchor, which need not be there any more: scores and ids are in order."""
        start = yield from self._start(position)
        found = yield from self.slice(start, start + limit)
        members = [(message_id, score) for message_id, score in found if score < self.high or self.high == math.inf]
        ids, scores = [one[0] for one in members[:limit]], [one[1] for one in members[:limit]]
        if len(members) <= limit:
            return Page(ids, scores, None)
        return Page(ids, scores, Position(start + limit, scores[-1], ((ids[-1], 0),)))

    def _start(self, position: Position) -> Operation[int]:
        if not position.anchors:
            return position.offset + (yield from self.rank(self.low, b""))
        last = position.anchors[0][0], position.score
        if (yield from self.slice(position.offset - 1, position.offset - 1)) == [last]:
            return position.offset
        return (yield from self.rank(position.score, last[0] + b"\0"))

    def rank(self, score: float, message_id: bytes) -> Operation[int]:
        """How many members are before this one in the order of the set, which need not be there."""
        if score == -math.inf and not message_id:
            return 0
        low, high = 0, int((yield command("ZCARD", self.key)))
        if score == math.inf and not message_id:
            return high
        while low < high:
            middle = (low + high) // 2
            found = yield from self.slice(middle, middle)
            if found and (found[0][1], found[0][0]) < (score, message_id):
                low = middle + 1
            else:
                high = middle
        return low

    def slice(self, first: int, last: int) -> Operation[list[tuple[bytes, float]]]:
        """The members from a rank to another one, included, with their scores."""
        if last < 0:
            return []
        flat: Any = yield command("ZRANGE", self.key, max(0, first), last, "WITHSCORES")
        return [(message_id, float(score)) for message_id, score in zip(flat[::2], flat[1::2])]


def read_attempts(stored: bytes | None) -> Attempts:
    """Stored attempts; none if they are unreadable, as for scripts and workers."""
    try:
        return Attempts.decode(stored)
    except DecodeError:
        return NO_ATTEMPTS
