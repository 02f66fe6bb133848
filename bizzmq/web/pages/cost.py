"""What tasks and keys cost: processor time and memory."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

from bizzmq.admin.queue_row import QueueRow
from bizzmq.metrics.series import Measures
from bizzmq.web.charts.queue_charts import RANGES, quantiles
from bizzmq.web.charts.totals import Totals
from bizzmq.web.site import Look, Site, View

_MOST = 200
_ENOUGH = 50
"""The page waits for the costs of this many queues, the busiest ones."""


async def cost(site: Site, look: Look) -> View:
    """The page of costs by task and by key."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    shown = RANGES.get(look.query.get("range", ""), RANGES["1d"])
    names = busiest_first(snapshot.rows)
    found: Totals = await site.totals.read(names, shown, _ENOUGH, is_live=look.is_live)
    return View(
        "cost.html",
        "Cost",
        {
            "tables": [
                _table("task", [(one.queue, one.task or "plain messages", one.total) for one in found.tasks]),
                _table("key", [(one.queue, one.key, one.total) for one in found.keys]),
            ],
            "range": shown, "ranges": RANGES.values(), "read": found.read, "total": len(names),
            "is_complete": found.is_complete,
            "tasks": len(found.tasks), "cpu_s": sum(one.total.cpu_s for one in found.tasks),
            "run_s": sum(one.total.run.sum_s for one in found.tasks),
        },
    )  # fmt: skip


def _table(by: str, totals: Sequence[Tuple[str, str, Measures]]) -> Dict[str, Any]:
    """The rows of a table, the costliest first."""
    cpu_s = sum(total.cpu_s for _, _, total in totals)
    rows = [
        {
            "queue": queue, "name": name, "total": total, "run": quantiles(total),
            "share": total.cpu_s / cpu_s if cpu_s else 0.0,
            "cpu_mean_s": total.cpu_s / total.handled if total.handled else None,
        }
        for queue, name, total in sorted(totals, key=_costliest_first)[:_MOST]
    ]  # fmt: skip
    return {"by": by, "rows": rows, "all": len(totals)}


def _costliest_first(one: Tuple[str, str, Measures]) -> Tuple[float, float, str, str]:
    queue, name, total = one
    return -total.cpu_s, -total.run.sum_s, queue, name


def busiest_first(rows: Sequence[QueueRow]) -> Sequence[str]:
    """The names of queues, those first on which most has been done of late."""

    def done(row: QueueRow) -> float:
        return -sum(rate.outgoing for rate in row.minutes if rate is not None)

    return [row.queue for row in sorted((row for row in rows if row.stats), key=lambda row: (done(row), row.queue))]
