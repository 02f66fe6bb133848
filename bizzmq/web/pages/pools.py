"""All pools on all hosts, what they run and what they use; and one of them."""

from __future__ import annotations

from typing import Any, Dict, List

from bizzmq.admin.activity.pools import SILENT, PoolInfo
from bizzmq.metrics.pool_usage import MOST_SLOTS, SLOT_STEP_S, STEP_S, PoolUsage, read_usage
from bizzmq.protocol.keys import QueueKeys
from bizzmq.web.charts.pool_usages import KeptUsages, charts_of_pool, curves_of
from bizzmq.web.pages.numbered import page_of
from bizzmq.web.site import Look, Site, View

_PAGE = 50
_RUNNING = 20


async def pools(site: Site, look: Look) -> View:
    """The page of all pools."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    rows = [_shown(reports) for reports in snapshot.pools.values()]
    rows.sort(key=lambda one: (one["pool"].host, one["pool"].pid))
    shown, numbers = page_of(look, rows, size=_PAGE)
    usages = await site.kept(KeptUsages).read((one["pool"] for one in shown), snapshot.at_s)
    for one in shown:
        usage = usages.pools.get(one["pool"].id)
        one["curves"] = curves_of(usage.steps, STEP_S, snapshot.at_s) if usage else None
    hosts = len({one["pool"].host for one in rows})
    return View("pools.html", "Pools", {**numbers, "pools": shown, "total": len(rows), "hosts": hosts})


async def pool(site: Site, look: Look) -> View:
    """The page of one pool: its last hour, and that of its slots."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    reports = snapshot.pools.get(look.path["pool"])
    if reports is None:
        sentence = "No queue knows this pool any more: it has ended, or was lost."
        return View("problem.html", "No such pool", {"title": "No such pool", "sentence": sentence}, 404)
    one = _shown(reports)
    info: PoolInfo = one["pool"]
    usage = await site.perform(read_usage, QueueKeys(info.asked_on), info.id) if info.asked_on else PoolUsage()
    known = await site.kept(KeptUsages).read([info], snapshot.at_s)
    deploys = [deploy for deploy in known.deploys if deploy.target == info.target]
    slots = [(slot, curves_of(steps, SLOT_STEP_S, snapshot.at_s)) for slot, steps in sorted(usage.slots.items())]
    return View(
        "pool.html",
        f"Pool {info.pid} on {info.host}",
        {
            **one, "charts": charts_of_pool(usage, deploys, snapshot.at_s) if usage.steps else [], "slots": slots,
            "deploys": deploys[::-1], "most_slots": MOST_SLOTS,
        },
    )  # fmt: skip


def _shown(reports: List[Any]) -> Dict[str, Any]:
    """A pool, from its reports on each of its queues."""
    newest: PoolInfo = min((pool for _, pool in reports), key=lambda pool: pool.beat_ago_s or 0.0)
    running = sorted(((queue, one) for queue, pool in reports for one in pool.running), key=lambda one: -one[1].for_s)
    return {
        "pool": newest, "queues": sorted({queue for queue, _ in reports}), "running": running[:_RUNNING],
        "busy": min(newest.busy, newest.workers), "asks": bool(newest.asked_on) and newest.state != SILENT,
        "more": max(0, len(running) - _RUNNING),
    }  # fmt: skip
