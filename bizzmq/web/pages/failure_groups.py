"""The groups of dead letters for the page of failures, read in the background."""

from __future__ import annotations

from typing import Any, AsyncIterator, Dict, List, NamedTuple, Sequence, Tuple

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.broker.operations import Operation
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.groups import Grouping
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.protocol.keys import QueueKeys
from bizzmq.web.charts.sparklines import of_hours
from bizzmq.web.live.background import Background

MOST_READ = 100_000
"""The dead letters that are read for one list of groups. The page says how many it has read."""
_ENOUGH = 200
"""A page waits for this many dead letters, or for all."""
_AT_ONCE, _PAGE = 100, 100
_KEPT_S, _MOST_KEPT = 60.0, 4
_LONG_S = 1.0


class Group(NamedTuple):
    """A group of a queue: how many dead letters it has, and which one it is."""

    letters: int
    queue: str
    fingerprint: str


class GroupReading:
    """Reads the groups of some queues.

    Args:
        queues: their names, with their numbers of dead letters. Those with few are read first: they are soon known.
    """

    def __init__(self, client: AsyncBizzMQ, queues: Sequence[Tuple[str, int]]) -> None:
        self._client = client
        self._groupings = {name: Grouping(QueueKeys(name), LetterFilter()) for name, _ in queues}
        self._left = sorted(queues, key=lambda one: one[1])
        self.work = Background(self._parts())

    @property
    def read(self) -> int:
        """How many dead letters are in the groups."""
        return sum(grouping.count for grouping in self._groupings.values())

    def groups(self) -> List[Group]:
        """What is known so far, the largest first."""
        found = [
            Group(count, queue, fingerprint)
            for queue, grouping in self._groupings.items()
            for fingerprint, count in grouping.sizes().items()
        ]
        return sorted(found, key=lambda group: (-group.letters, group.queue, group.fingerprint))

    def shown(self, one: Group, now_s: float) -> Dict[str, Any]:
        """All about a group: with its queue, its sparkline and its keys."""
        grouping = self._groupings[one.queue]
        details = grouping.details(one.fingerprint)
        return {
            "queue": one.queue, **grouping.group(one.fingerprint).as_dict(), "spark": of_hours(details.hours, now_s),
            "keys": details.keys, "has_more_keys": details.has_more_keys,
        }  # fmt: skip

    async def until_enough(self) -> None:
        """Wait for what a page needs at least. Raises BizzMQError."""
        await self.work.until(lambda: self.read >= _ENOUGH)

    async def _parts(self) -> AsyncIterator[None]:
        """A page of one queue, or of several small ones, at each turn."""
        while self._left and self.read < MOST_READ:
            part: List[Tuple[str, int]] = []
            while self._left and (not part or sum(min(_PAGE, count) for _, count in part) < _AT_ONCE):
                part.append(self._left.pop(0))
            await self._client._perform_all(  # noqa: SLF001 - private to users, not to this package
                lambda some=part: [_read_page(self._groupings[name]) for name, _ in some]  # type: ignore[misc]
            )
            self._left[:0] = [one for one in part if not self._groupings[one[0]].is_complete]
            yield


def _read_page(grouping: Grouping) -> Operation[None]:
    """Read a page, if there is one. A queue that was deleted meanwhile, or cannot be read, has no groups more."""
    try:
        if not grouping.is_complete:
            yield from grouping.read_page()
    except (*QUEUE_TROUBLE, CommandRefusedError):
        grouping.end()


class KeptGroups:
    """The last readings of this process: of all queues, or of one."""

    def __init__(self, client: AsyncBizzMQ) -> None:
        self._client = client
        self._kept: Dict[str, GroupReading] = {}

    def of(self, chosen: str, queues: Sequence[Tuple[str, int]], *, is_further: bool, is_live: bool) -> GroupReading:
        """The reading for a page.

        Pages behind the first one, and open ones, show the last reading, so that no group moves. The first page has a
        new one, unless one runs.

        Args:
            chosen: the queue; "" for all of them.
            queues: what is read, with the numbers of dead letters.
            is_further: whether the page is behind the first one.
        """
        known = self._kept.pop(chosen, None)
        if known is None or known.work.has_failed or not (is_live or _is_fresh(known.work, is_further=is_further)):
            known = GroupReading(self._client, queues)
        self._kept[chosen] = known
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return known


def _is_fresh(work: Background, *, is_further: bool) -> bool:
    """Whether a reading is still shown to somebody who loads a page. One that has taken long is worth more."""
    if work.is_running:
        return True
    return work.age_s <= (_KEPT_S if is_further else work.taken_s if work.taken_s > _LONG_S else 0.0)
