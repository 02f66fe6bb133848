"""Dead letters, grouped by what failed, and the deaths of workers."""

from __future__ import annotations

import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.groups import OTHERS, Grouping
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.protocol.keys import QueueKeys
from bizzmq.web.charts.queue_charts import RANGES
from bizzmq.web.charts.sparklines import of_hours
from bizzmq.web.charts.totals import CAUSES_IN_WORDS, deaths_of
from bizzmq.web.pages.cost import busiest_first
from bizzmq.web.pages.numbered import page_of
from bizzmq.web.site import Look, Site, View

_BUDGET_S = 1.5
"""For how long dead letters are read for one page. The page says how many it has read."""
_KEPT_S = 60.0
_MOST_DEATHS = 50
_MOST_KEPT = 4


class Groups(NamedTuple):
    """The groups of some queues, largest first.

    Attributes:
        found: a group each, with its queue, its sparkline and its keys.
        read: how many dead letters were read for them.
        at_s: when, by the monotonic clock.
    """

    found: List[Dict[str, Any]]
    read: int
    at_s: float


async def failures(site: Site, look: Look) -> View:
    """The page of all groups, or of those of one queue."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    chosen = look.query.get("queue", "").strip()
    dead = [(row.queue, row.stats.dead_lettered) for row in snapshot.rows if row.stats and row.stats.dead_lettered]
    wanted = [one for one in dead if not chosen or one[0] == chosen]
    groups = await _groups(site, look, chosen, [name for name, _ in wanted], snapshot.at_s)
    names = busiest_first(snapshot.rows)
    totals = await site.totals.read(names, RANGES["1d"])
    deaths = [one for one in deaths_of(totals.tasks) if not chosen or one[0].queue == chosen]
    shown, numbers = page_of(look, groups.found)
    return View(
        "failures.html",
        "Failures",
        {
            **numbers, "groups": shown, "chosen": chosen,
            "dead": sorted(dead, key=lambda one: -one[1]), "total": sum(number for _, number in wanted),
            "read": groups.read, "found": len(groups.found), "others": OTHERS, "deaths": deaths[:_MOST_DEATHS],
            "deaths_read": totals.read, "queues": len(names), "causes": CAUSES_IN_WORDS,
        },
    )  # fmt: skip


async def _groups(site: Site, look: Look, chosen: str, queues: List[str], now_s: float) -> Groups:
    """The groups for a page. Those behind the first page are of the same reading, so that no group moves."""
    kept: Dict[str, Groups] = site.kept.setdefault("failures", {})
    known: Optional[Groups] = kept.get(chosen)
    if look.is_live:  # what is listed stays until it is loaded again
        return known or Groups([], 0, 0.0)
    if known is None or "page" not in look.query or time.monotonic() - known.at_s > _KEPT_S:
        found, read = await _read(site, queues, now_s)
        kept.pop(chosen, None)
        known = kept[chosen] = Groups(found, read, time.monotonic())
        while len(kept) > _MOST_KEPT:
            del kept[next(iter(kept))]
    return known


async def _read(site: Site, queues: List[str], now_s: float) -> Tuple[List[Dict[str, Any]], int]:
    """The groups of some queues, largest first, and how many dead letters were read for them."""
    ends_s = time.monotonic() + _BUDGET_S
    found: List[Dict[str, Any]] = []
    for name in queues:
        grouping = Grouping(QueueKeys(name), LetterFilter())
        try:
            while not grouping.is_complete and time.monotonic() < ends_s:
                await site.perform(grouping.read_page)
        except QUEUE_TROUBLE:
            pass  # it was deleted meanwhile, or cannot be read: the overview says which
        found += [_shown(name, grouping, group, now_s) for group in grouping.groups()]
    found.sort(key=lambda group: -group["count"])
    return found, sum(group["count"] for group in found)


def _shown(queue: str, grouping: Grouping, group: Any, now_s: float) -> Dict[str, Any]:
    details = grouping.details(group.fingerprint)
    return {
        "queue": queue, **group.as_dict(), "spark": of_hours(details.hours, now_s), "keys": details.keys,
        "has_more_keys": details.has_more_keys,
    }  # fmt: skip
