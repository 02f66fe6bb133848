"""Searches in the bodies of messages: jobs that change nothing, and show what they find as it is found."""

from __future__ import annotations

from functools import partial
from typing import Any, AsyncIterator, Dict, List, Mapping

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.web.jobs import Job, Step, patient
from bizzmq.web.message_rows import matcher, row_of

MOST_FOUND = 500
"""A search ends with this many messages."""
MOST_SEARCHED = 1_000_000
_PAGE, _LONGEST = 100, 200


class Search(Job):
    """A search.

    Attributes:
        status: the state in which the messages are.
        filters: what is searched for, by the names of `message_rows.FILTERS`.
        found: the messages, as rows, in the order of the list.
    """

    def __init__(self, queue: str, status: str, filters: Mapping[str, str], who: str, total: int) -> None:
        wanted = "".join(f", {name} {value}" for name, value in filters.items())
        super().__init__(f"Search the {status.replace('_', ' ')} messages of {queue}{wanted}", who, queue, total)
        self.status, self.filters = status, dict(filters)
        self.found: List[Dict[str, Any]] = []

    @property
    def is_full(self) -> bool:
        """Whether there may be more than was found or searched."""
        return len(self.found) >= MOST_FOUND or self.seen >= MOST_SEARCHED


async def steps(client: AsyncBizzMQ, search: Search) -> AsyncIterator[Step]:
    """Search one page of the list at each turn. A step changes as many messages as it finds: none of them."""
    matches = matcher(search.filters)
    after: Any = None
    while not search.is_full:
        read = partial(client.messages, search.queue, search.status, limit=_PAGE, after=after)
        page = await patient(search, read)
        known = len(search.found)
        search.found += [_cut(row_of(one)) for one in page.messages if matches(one)][: MOST_FOUND - known]
        yield Step(len(page.messages), len(search.found) - known)
        after = page.next
        if after is None:
            return


def _cut(row: Dict[str, Any]) -> Dict[str, Any]:
    """A row that takes little memory: a job is kept for a while."""
    return {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in row.items()}
