"""The chart of a queue: what succeeded and failed in each minute of the last hour."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.connection.error_mapping import CommandRefusedError

HOUR_S, STEP_S = 3600, 60
_HEIGHT = 100.0


class Bar(NamedTuple):
    """One minute: its place from the left, and the heights of what succeeded and failed, of 100."""

    x: int
    succeeded: float
    failed: float


class Chart(NamedTuple):
    """What a page needs to draw it, and to say it in words.

    Attributes:
        bars: oldest first.
        width: the number of minutes, the last of which has not ended.
        most: how many attempts the highest bar stands for.
        handled, failed: attempts in the whole hour.
        run, wait: the quantiles 0.5, 0.95 and 0.99 of the times of handlers and of waiting, seconds; None without any.
    """

    bars: List[Bar]
    width: int
    most: int
    handled: int
    failed: int
    run: List[Optional[float]]
    wait: List[Optional[float]]


async def read_chart(client: AsyncBizzMQ, queue: str) -> Optional[Chart]:
    """The chart of a queue; None if nothing was handled, or if this user of Redis may not read it."""
    try:
        found = await client.metrics(queue, last_s=HOUR_S, step_s=STEP_S)
    except CommandRefusedError:
        return None
    measures = [step.measures for step in found.steps]
    most = max((one.succeeded + one.failed for one in measures), default=0)
    if not most:
        return None
    scale = _HEIGHT / most
    bars = [
        Bar(index, round(one.succeeded * scale, 2), round(one.failed * scale, 2))
        for index, one in enumerate(measures)
        if one.succeeded + one.failed
    ]
    total, shares = found.total, (0.5, 0.95, 0.99)
    return Chart(
        bars, len(measures), most, total.handled, total.failed,
        [total.run.quantile_s(share) for share in shares], [total.wait.quantile_s(share) for share in shares],
    )  # fmt: skip
