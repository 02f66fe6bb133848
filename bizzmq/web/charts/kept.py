"""Keeps charts for as long as they show nothing new: pools write their history once in ten seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Optional, Tuple

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.web.charts.queue_charts import QueueCharts, Range, read_charts

_MOST = 100


class KeptCharts:
    """The charts of queues that were read last."""

    def __init__(self, client: AsyncBizzMQ) -> None:
        self._client = client
        self._kept: OrderedDict[Tuple[str, str], Tuple[float, Optional[QueueCharts]]] = OrderedDict()

    async def read(self, queue: str, shown: Range) -> Optional[QueueCharts]:
        """As `read_charts`; it may be some seconds old, and minutes for a long time."""
        key = queue, shown.name
        read_s, found = self._kept.pop(key, (-1e9, None))
        if found is None or time.monotonic() - read_s > shown.is_kept_s:
            read_s, found = time.monotonic(), await read_charts(self._client, queue, shown)
        self._kept[key] = read_s, found
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return found
