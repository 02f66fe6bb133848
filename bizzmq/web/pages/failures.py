"""Dead letters, grouped by what failed, and the deaths of workers."""

from __future__ import annotations

from bizzmq.dead_letters.groups import OTHERS
from bizzmq.web.charts.queue_charts import RANGES
from bizzmq.web.charts.totals import CAUSES_IN_WORDS, deaths_of
from bizzmq.web.pages.cost import busiest_first
from bizzmq.web.pages.failure_groups import KeptGroups
from bizzmq.web.pages.numbered import page_of
from bizzmq.web.site import Look, Site, View

_MOST_DEATHS = 50
_ENOUGH = 5
"""The page waits for the deaths of this many queues, the busiest ones."""


async def failures(site: Site, look: Look) -> View:
    """The page of all groups, or of those of one queue."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    chosen = look.query.get("queue", "").strip()
    dead = [(row.queue, row.stats.dead_lettered) for row in snapshot.rows if row.stats and row.stats.dead_lettered]
    wanted = [one for one in dead if not chosen or one[0] == chosen]
    reading = site.kept(KeptGroups).of(chosen, wanted, is_further="page" in look.query, is_live=look.is_live)
    if not look.is_live:
        await reading.until_enough()
    names = busiest_first(snapshot.rows)
    totals = await site.totals.read(names, RANGES["1d"], _ENOUGH, is_live=look.is_live)
    deaths = [one for one in deaths_of(totals.tasks) if not chosen or one[0].queue == chosen]
    groups = reading.groups()
    shown, numbers = page_of(look, groups)
    return View(
        "failures.html",
        "Failures",
        {
            **numbers, "groups": [reading.shown(one, snapshot.at_s) for one in shown], "chosen": chosen,
            "dead": sorted(dead, key=lambda one: -one[1]), "total": sum(number for _, number in wanted),
            "read": reading.read, "is_reading": reading.work.is_running, "found": len(groups), "others": OTHERS,
            "deaths": deaths[:_MOST_DEATHS], "deaths_read": totals.read, "queues": len(names),
            "are_deaths_known": totals.is_complete, "causes": CAUSES_IN_WORDS,
        },
    )  # fmt: skip
