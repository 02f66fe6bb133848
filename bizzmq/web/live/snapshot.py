"""All queues at one moment, read by few requests at a time and shared by all pages and browsers of a process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from bizzmq.admin.activity.pools import PoolInfo
from bizzmq.admin.queue_row import QueueRow, read_names, read_row
from bizzmq.admin.troubles import reports_of
from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.broker.operations import read_time_ms

FIRST = 100
"""A page that shows this many queues, the first ones by name, does not wait for the others."""
_PART, _AT_ONCE = 25, 4
_NEW_S, _OLD_S, _WORTH = 1.0, 15.0, 20
_KEPT_S = 60.0


@dataclass(frozen=True)
class Snapshot:
    """All queues at one moment.

    Attributes:
        rows: sorted by name.
        at_s: when it was read, seconds since the epoch by Redis's clock.
        taken_s: how long reading took.
        missing: how many queues have no row, because they are still being read.
    """

    rows: Tuple[QueueRow, ...]
    at_s: float
    taken_s: float = 0.0
    missing: int = 0
    _pools: Dict[str, List[Tuple[str, PoolInfo]]] = field(default_factory=dict, repr=False)

    @property
    def pools(self) -> Dict[str, List[Tuple[str, PoolInfo]]]:
        """Pool id -> each of its queues with its report there."""
        if not self._pools:
            self._pools.update(reports_of(self.rows))
        return self._pools


class Snapshots:
    """Reads snapshots; those who ask at the same time get the same one.

    Attributes:
        ahead_s: by how much Redis's clock is ahead of this host's.
    """

    def __init__(self, client: AsyncBizzMQ) -> None:
        self._client = client
        self.ahead_s = 0.0
        self._last: Optional[Snapshot] = None
        self._read_s = -1e9
        self._reading: Optional[_Reading] = None

    async def recent(self, *, is_live: bool) -> Snapshot:
        """A snapshot for a page. One that is asked for may be older if reading takes long: an event follows soon."""
        known = self._known(is_live=is_live)
        return await asyncio.shield(self._begun().task) if known is None else known

    async def first(self, *, is_live: bool) -> Snapshot:
        """As `recent`, for a page that can do without the queues behind the first 100 by name.

        If they are still being read, they are as old as the last snapshot, at most a minute, or missing. For the poller
        they never are.
        """
        known = self._known(is_live=is_live)
        if known is not None:
            return known
        if is_live:
            return await self.recent(is_live=True)
        reading = self._begun()
        waited: Set[asyncio.Future[Any]] = {reading.task, reading.has_first}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if reading.task.done():
            return reading.task.result()
        self.ahead_s = reading.ahead_s
        old = self._last.rows if self._last and time.monotonic() - self._read_s < _KEPT_S else ()
        return reading.so_far(old)

    def _known(self, *, is_live: bool) -> Optional[Snapshot]:
        if self._last is None:
            return None
        most_s = _NEW_S if is_live else min(_OLD_S, max(_NEW_S, _WORTH * self._last.taken_s))
        return self._last if time.monotonic() - self._read_s <= most_s else None

    def _begun(self) -> _Reading:
        """What is being read; reading begins now if nothing is."""
        if self._reading is None:
            self._reading = _Reading(self._client)
            self._reading.task.add_done_callback(self._ended)
        return self._reading

    def _ended(self, task: asyncio.Task[Snapshot]) -> None:
        reading, self._reading = self._reading, None
        if reading is None or task.cancelled() or task.exception() is not None:
            return  # those who wait raise it
        self._last, self._read_s = task.result(), time.monotonic()
        self.ahead_s = reading.ahead_s


class _Reading:
    """A snapshot that is being read.

    Attributes:
        task: its result is the snapshot.
        has_first: done when the first queues by name have been read.
    """

    def __init__(self, client: AsyncBizzMQ) -> None:
        self._client = client
        self.ahead_s = 0.0
        self._rows: Dict[str, QueueRow] = {}
        self._names: Sequence[str] = ()
        self._first_left: Set[str] = set()
        self._at_s = 0.0
        self.has_first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(self._read())

    def so_far(self, old: Sequence[QueueRow]) -> Snapshot:
        """The rows that were read until now, and old ones in the places of the others."""
        rows: Mapping[str, QueueRow] = {**{row.queue: row for row in old}, **self._rows}
        known = tuple(rows[name] for name in self._names if name in rows)
        return Snapshot(known, self._at_s, missing=len(self._names) - len(known))

    async def _read(self) -> Snapshot:
        began_s = time.monotonic()
        perform = self._client._perform  # noqa: SLF001 - private to users, not to this package
        self._names, now_ms = await perform(read_names), await perform(read_time_ms)
        self._first_left = {*self._names[:FIRST]}
        self._at_s = now_ms / 1000
        self.ahead_s = self._at_s - time.time()
        parts = iter([self._names[first : first + _PART] for first in range(0, len(self._names), _PART)])
        await asyncio.gather(*(self._read_parts(parts) for _ in range(_AT_ONCE)))
        rows = sorted(self._rows.values(), key=lambda row: row.queue)
        return Snapshot(tuple(rows), self._at_s, time.monotonic() - began_s)

    async def _read_parts(self, parts: Iterator[Sequence[str]]) -> None:
        for names in parts:
            rows = await self._client._perform_all(  # noqa: SLF001 - private to users, not to this package
                lambda part=names: [read_row(name) for name in part]  # type: ignore[misc]
            )
            self._rows.update((row.queue, row) for row in rows if row is not None)
            self._first_left.difference_update(names)
            if not self._first_left and not self.has_first.done():
                self.has_first.set_result(None)
