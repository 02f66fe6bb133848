"""All queues at one moment, read by few requests at a time and shared by all pages and browsers of a process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from bizzmq.admin.activity.pools import PoolInfo
from bizzmq.admin.queue_row import QueueRow, read_names, read_row
from bizzmq.admin.troubles import reports_of
from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.broker.operations import read_time_ms

_AT_ONCE = 4
_NEW_S, _OLD_S, _WORTH = 1.0, 15.0, 20


@dataclass(frozen=True)
class Snapshot:
    """All queues at one moment.

    Attributes:
        rows: sorted by name.
        at_s: when it was read, seconds since the epoch by Redis's clock.
        taken_s: how long reading took.
    """

    rows: Tuple[QueueRow, ...]
    at_s: float
    taken_s: float = 0.0
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
        self._reading: Optional[asyncio.Future[Snapshot]] = None

    async def recent(self, *, is_live: bool) -> Snapshot:
        """A snapshot for a page. One that is asked for may be older if reading takes long: an event follows soon."""
        taken_s = self._last.taken_s if self._last else 0.0
        return await self.get(_NEW_S if is_live else min(_OLD_S, max(_NEW_S, _WORTH * taken_s)))

    async def get(self, max_age_s: float) -> Snapshot:
        """A snapshot that is at most so old; read now if there is none. Raises BizzMQError."""
        if self._last is not None and time.monotonic() - self._read_s <= max_age_s:
            return self._last
        loop = asyncio.get_running_loop()
        if self._reading is None or self._reading.get_loop() is not loop:
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(self._read_ended)
        return await asyncio.shield(self._reading)

    def _read_ended(self, reading: asyncio.Future[Snapshot]) -> None:
        if self._reading is reading:
            self._reading = None
        if not reading.cancelled():
            reading.exception()  # those who wait raise it

    async def _read(self) -> Snapshot:
        began_s = time.monotonic()
        perform = self._client._perform  # noqa: SLF001 - private to users, not to this package
        names, now_ms = await perform(read_names), await perform(read_time_ms)
        self.ahead_s = now_ms / 1000 - time.time()

        async def part(names: List[str]) -> List[QueueRow]:
            found = [await perform(read_row, name) for name in names]
            return [row for row in found if row is not None]

        parts = await asyncio.gather(*(part(names[first::_AT_ONCE]) for first in range(min(_AT_ONCE, len(names)))))
        rows = sorted((row for some in parts for row in some), key=lambda row: row.queue)
        self._read_s = time.monotonic()
        self._last = Snapshot(tuple(rows), now_ms / 1000, self._read_s - began_s)
        return self._last
