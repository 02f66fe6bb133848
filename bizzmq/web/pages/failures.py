"""Dead letters, grouped by what failed."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Tuple

from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.groups import OTHERS, Grouping
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.protocol.keys import QueueKeys
from bizzmq.web.pages.numbered import page_of
from bizzmq.web.site import Look, Site, View

_BUDGET_S = 1.5
"""For how long dead letters are read for one page. The page says how many it has read."""


async def failures(site: Site, look: Look) -> View:
    """The page of all groups, or of those of one queue."""
    snapshot = await site.snapshots.recent(is_live=look.is_live)
    chosen = look.query.get("queue", "").strip()
    dead = [(row.queue, row.stats.dead_lettered) for row in snapshot.rows if row.stats and row.stats.dead_lettered]
    wanted = [one for one in dead if not chosen or one[0] == chosen]
    groups, read = ([], 0) if look.is_live else await _groups(site, [name for name, _ in wanted])
    shown, numbers = page_of(look, groups)
    return View(
        "failures.html",
        "Failures",
        {
            **numbers, "groups": shown, "chosen": chosen,
            "dead": sorted(dead, key=lambda one: -one[1]), "total": sum(number for _, number in wanted), "read": read,
            "found": len(groups), "others": OTHERS,
        },
    )  # fmt: skip


async def _groups(site: Site, queues: List[str]) -> Tuple[List[Dict[str, Any]], int]:
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
        found += [{"queue": name, **group.as_dict()} for group in grouping.groups()]
    found.sort(key=lambda group: -group["count"])
    return found, sum(group["count"] for group in found)
