"""One queue: counts, options, and its messages by state."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Dict, List, Optional, Tuple

from bizzmq.admin.listing import MessagePage
from bizzmq.admin.queue_row import read_row
from bizzmq.admin.stored_message import DEAD_LETTERED, DELAYED, PROCESSING, SUSPENDED, WAITING
from bizzmq.admin.troubles import troubles_of
from bizzmq.errors import QueueNotFoundError
from bizzmq.protocol.keys import logical_queue, owner_of
from bizzmq.web.charts.queue_charts import RANGES
from bizzmq.web.live.snapshot import Snapshot
from bizzmq.web.message_rows import FILTERS, row_of
from bizzmq.web.site import Look, Site, View

STATES = (WAITING, PROCESSING, DELAYED, SUSPENDED, DEAD_LETTERED)
PAGE = 50


async def queue(site: Site, look: Look) -> View:
    """The page of a queue."""
    name = logical_queue(owner_of(look.path["queue"]))
    row = await site.perform(read_row, name)
    if row is None:
        raise QueueNotFoundError(name)
    state = _state(look)
    filters = {field: look.query.get(field, "").strip() for field in FILTERS}
    info = None if row.error else await site.client.show_queue(name)
    page, problem = (None, "") if look.is_live or row.error else await _messages(site, name, state, filters, look)
    shown = RANGES.get(look.query.get("range", ""), RANGES["1h"])
    charts = None if row.error else await site.charts.read(name, shown)
    pauses = [] if row.error else await site.client.pauses(name)
    snapshot = await site.snapshots.first(is_live=look.is_live)
    return View(
        "queue.html",
        name,
        {
            "row": row, "stats": row.stats, "state": state, "states": STATES, "filters": filters,
            "is_filtered": any(filters.values()), "after": look.query.get("after", ""),
            "messages": [row_of(one) for one in page.messages] if page else [], "next": page.next if page else None,
            "problem": problem, "info": info, "options": _options(info), "snapshot": snapshot,
            "troubles": troubles_of(row, _with(snapshot, row).pools), "rate": row.rates.get(60),
            "newest": look.query.get("order") == "newest",
            "charts": charts, "range": shown, "ranges": RANGES.values(),
            "pauses": [(one, one.sentence(snapshot.at_s)) for one in pauses],
            "is_paused": any(one.is_of_queue for one in pauses),
        },
    )  # fmt: skip


def _with(snapshot: Snapshot, row: Any) -> Snapshot:
    """The snapshot with a newer row."""
    return Snapshot(tuple(row if one.queue == row.queue else one for one in snapshot.rows), snapshot.at_s)


def _state(look: Look) -> str:
    wanted = look.query.get("state", "")
    if wanted in STATES:
        return wanted
    return DEAD_LETTERED if look.path["queue"] != owner_of(look.path["queue"]) else WAITING


async def _messages(
    site: Site, name: str, state: str, filters: Dict[str, str], look: Look
) -> Tuple[Optional[MessagePage], str]:
    """A page of messages, or why there is none."""
    after = look.query.get("after") or None
    given = {field: value for field, value in filters.items() if value}
    try:
        if state == DEAD_LETTERED and "fingerprint" in given:
            given.pop("body", None)
            wanted = {"text" if field == "error" else field: value for field, value in given.items()}
            return await site.client.dead_letters(name, **wanted, limit=PAGE, after=after), ""  # type: ignore[arg-type]
        given.pop("fingerprint", None)
        newest = look.query.get("order") == "newest"
        return await site.client.messages(name, state, limit=PAGE, after=after, newest_first=newest, **given), ""  # type: ignore[arg-type]
    except QueueNotFoundError:
        if state == DEAD_LETTERED:
            return MessagePage((), None), "This queue has no dead-letter queue."
        raise


def _options(info: Any) -> List[Tuple[str, Any]]:
    if info is None:
        return []
    return [(name, value) for name, value in asdict(info.options).items() if value is not None]
