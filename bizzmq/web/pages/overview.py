"""All queues, and what is wrong."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Sequence

from bizzmq.admin.activity.pools import workers_of
from bizzmq.admin.queue_row import QueueRow
from bizzmq.admin.troubles import troubles
from bizzmq.web.charts.overview_charts import charts_of_all, recent_deploys
from bizzmq.web.charts.pool_usages import KeptUsages
from bizzmq.web.charts.sparklines import of_minutes
from bizzmq.web.live.snapshot import Snapshot
from bizzmq.web.pages.numbered import page_of
from bizzmq.web.site import Look, Site, View

_ORDERS: Mapping[str, Callable[[QueueRow], Any]] = {
    "name": lambda row: row.queue,
    "waiting": lambda row: (-(row.stats.waiting if row.stats else 0), row.queue),
    "delayed": lambda row: (-(row.stats.delayed if row.stats else 0), row.queue),
    "running": lambda row: (-(row.stats.processing if row.stats else 0), row.queue),
    "dead": lambda row: (-(row.stats.dead_lettered if row.stats else 0), row.queue),
    "oldest": lambda row: (-(row.oldest_s or 0.0), row.queue),
    "workers": lambda row: (-row.workers, row.queue),
    "in": lambda row: (-_rate(row, "incoming"), row.queue),
    "out": lambda row: (-_rate(row, "outgoing"), row.queue),
    "failed": lambda row: (-_rate(row, "failed"), row.queue),
}


async def overview(site: Site, look: Look) -> View:
    """The page of all queues."""
    wanted = look.query.get("q", "").strip().lower()
    order = look.query.get("sort", "name")
    is_first = order == "name" and not wanted and look.query.get("page", "1") == "1"
    read = site.snapshots.first if is_first else site.snapshots.recent
    snapshot = await read(is_live=look.is_live)
    rows = sorted(
        (row for row in snapshot.rows if wanted in row.queue.lower()), key=_ORDERS.get(order, _ORDERS["name"])
    )
    shown, numbers = page_of(look, rows, missing=snapshot.missing)
    pools = sorted((reports[0][1] for reports in snapshot.pools.values()), key=lambda pool: (-pool.workers, pool.id))
    usages = await site.kept(KeptUsages).read(pools, snapshot.at_s)
    return View(
        "overview.html",
        "Queues",
        {
            **numbers, "rows": [_shown(row) for row in shown], "tiles": _tiles(snapshot),
            "troubles": troubles(snapshot.rows, snapshot.pools), "q": wanted, "order": order,
            "found": len(rows) + snapshot.missing, "total": len(snapshot.rows) + snapshot.missing,
            "missing": snapshot.missing, "charts": charts_of_all(snapshot.rows, usages, snapshot.at_s),
            "deploys": recent_deploys(usages, snapshot.at_s)[::-1],
        },
    )  # fmt: skip


def _rate(row: QueueRow, name: str) -> float:
    found = row.rates.get(60)
    return float(getattr(found, name)) if found else 0.0


def _shown(row: QueueRow) -> Dict[str, Any]:
    return {
        "row": row, "stats": row.stats, "busy": row.busy, "rate": row.rates.get(60), "spark": of_minutes(row.minutes),
    }  # fmt: skip


def _tiles(snapshot: Snapshot) -> List[Dict[str, Any]]:
    """The sums over all queues. A pool serves several queues, so its workers are counted once."""
    rows: Sequence[QueueRow] = [row for row in snapshot.rows if row.stats]
    workers, busy = workers_of(reports[0][1] for reports in snapshot.pools.values())

    def total(name: str) -> int:
        return sum(getattr(row.stats, name) for row in rows)

    return [
        {"name": "waiting", "value": total("waiting")},
        {"name": "delayed", "value": total("delayed")},
        {"name": "running", "value": total("processing")},
        {"name": "dead letters", "value": total("dead_lettered"), "is_bad": total("dead_lettered") > 0},
        {"name": "workers busy", "value": busy, "of": workers},
        {"name": "done a minute", "value": sum(_rate(row, "outgoing") for row in rows)},
        {"name": "failed a minute", "value": sum(_rate(row, "failed") for row in rows)},
    ]
