"""Pages of a list or a sorted set from its end, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from bizzmq.admin.paging.pages import ANCHORS, IdList, IdSet, Page, Position
from bizzmq.broker.operations import Operation


@dataclass(frozen=True)
class ReversedList:
    """The ids of a list, from its tail. A position counts the ids that are nearer to the head."""

    ids: IdList

    def size(self) -> Operation[int]:
        """The number of ids."""
        return (yield from self.ids.size())

    def page(self, position: Position, limit: int) -> Operation[Page]:
        """Up to `limit` ids before a position."""
        end = yield from self._end(position)
        first = max(0, end - limit)
        ids = yield from self.ids.slice(max(0, first - ANCHORS), end)
        newest_first = list(reversed(ids))
        shown, rest = newest_first[: end - first], newest_first[end - first :]
        if not rest:
            return Page(shown, [0.0] * len(shown), None)
        deliveries = yield from self.ids.deliveries(rest)
        return Page(shown, [0.0] * len(shown), Position(first, 0.0, tuple(zip(rest, deliveries))))

    def _end(self, position: Position) -> Operation[int]:
        """How many ids are left. If no anchor is in its place, workers have claimed them and all that were before."""
        if not position.anchors:
            return (yield from self.ids.size())
        places, _ = yield from self.ids.places(position._replace(offset=max(0, position.offset - 1)))
        return max(places) + 1 if places else 0


@dataclass(frozen=True)
class ReversedSet:
    """The ids of a sorted set from its last one."""

    ids: IdSet

    def size(self) -> Operation[int]:
        """The number of ids."""
        return (yield from self.ids.size())

    def page(self, position: Position, limit: int) -> Operation[Page]:
        """Up to `limit` ids before the anchor, which need not be there any more."""
        low = yield from self.ids.rank(self.ids.low, b"")
        if position.anchors:
            end = yield from self.ids.rank(position.score, position.anchors[0][0])
        else:
            end = yield from self.ids.rank(self.ids.high, b"")
        first = max(low, end - limit)
        found = yield from self.ids.slice(first, end - 1)
        ids = [one[0] for one in reversed(found)]
        scores = [one[1] for one in reversed(found)]
        if first <= low or not ids:
            return Page(ids, scores, None)
        return Page(ids, scores, Position(first, scores[-1], ((ids[-1], 0),)))
