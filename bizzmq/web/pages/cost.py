"""What tasks cost: processor time and memory."""

from __future__ import annotations

from typing import Sequence

from bizzmq.admin.queue_row import QueueRow
from bizzmq.web.charts.queue_charts import RANGES, quantiles
from bizzmq.web.charts.totals import Totals
from bizzmq.web.site import Look, Site, View

_MOST = 200


async def cost(site: Site, look: Look) -> View:
    """The page of costs by task."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    shown = RANGES.get(look.query.get("range", ""), RANGES["1d"])
    found: Totals = await site.totals.read(busiest_first(snapshot.rows), shown)
    tasks = sorted(found.tasks, key=lambda one: (-one.total.cpu_s, -one.total.run.sum_s, one.queue, one.task))
    cpu_s, run_s = sum(one.total.cpu_s for one in tasks), sum(one.total.run.sum_s for one in tasks)
    rows = [
        {
            "queue": one.queue, "task": one.task, "total": one.total, "run": quantiles(one.total),
            "share": one.total.cpu_s / cpu_s if cpu_s else 0.0,
            "cpu_mean_s": one.total.cpu_s / one.total.handled if one.total.handled else None,
        }
        for one in tasks[:_MOST]
    ]  # fmt: skip
    return View(
        "cost.html",
        "Cost",
        {
            "rows": rows, "range": shown, "ranges": RANGES.values(), "read": found.read, "total": len(snapshot.rows),
            "tasks": len(tasks), "cpu_s": cpu_s, "run_s": run_s,
        },
    )  # fmt: skip


def busiest_first(rows: Sequence[QueueRow]) -> Sequence[str]:
    """The names of queues, those first on which most has been done of late."""

    def done(row: QueueRow) -> float:
        return -sum(rate.outgoing for rate in row.minutes if rate is not None)

    return [row.queue for row in sorted((row for row in rows if row.stats), key=lambda row: (done(row), row.queue))]
