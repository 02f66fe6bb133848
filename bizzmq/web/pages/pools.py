"""All pools on all hosts, and what they run."""

from __future__ import annotations

from typing import Any, Dict, List

from bizzmq.admin.activity.pools import SILENT, PoolInfo
from bizzmq.web.site import Look, Site, View

_MOST = 200
_RUNNING = 50


async def pools(site: Site, look: Look) -> View:
    """The page of all pools."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    shown = [_shown(reports) for reports in snapshot.pools.values()]
    shown.sort(key=lambda one: (one["pool"].host, one["pool"].pid))
    values = {"pools": shown[:_MOST], "total": len(shown), "hosts": len({one["pool"].host for one in shown})}
    return View("pools.html", "Pools", values)


def _shown(reports: List[Any]) -> Dict[str, Any]:
    """A pool, from its reports on each of its queues."""
    newest: PoolInfo = min((pool for _, pool in reports), key=lambda pool: pool.beat_ago_s or 0.0)
    running = sorted(((queue, one) for queue, pool in reports for one in pool.running), key=lambda one: -one[1].for_s)
    return {
        "pool": newest, "queues": sorted({queue for queue, _ in reports}), "running": running[:_RUNNING],
        "busy": min(newest.busy, newest.workers), "asks": bool(newest.asked_on) and newest.state != SILENT,
        "more": max(0, len(running) - _RUNNING),
    }  # fmt: skip
