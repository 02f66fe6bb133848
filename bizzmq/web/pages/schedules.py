"""All schedules, in plain words."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, List

from bizzmq.broker.operations import read_time_ms
from bizzmq.errors import DecodeError
from bizzmq.schedules import operations
from bizzmq.schedules.info import ScheduleInfo
from bizzmq.utils.wording import span
from bizzmq.web.pages.numbered import page_of
from bizzmq.web.site import Look, Site, View

_TIMES = 3


async def schedules(site: Site, look: Look) -> View:
    """The page of all schedules."""
    known = await site.client.schedules()
    shown, numbers = page_of(look, known)
    now_ms = await site.perform(read_time_ms)
    rows: List[Dict[str, Any]] = []
    by_queue: Dict[str, Dict[str, operations.Stored]] = {}
    for info in shown:
        if info.queue not in by_queue:
            stored = await site.perform(operations.read_stored, info.queue)
            by_queue[info.queue] = {one.info().name: one for one in stored}
        rows.append(
            {"info": info, "words": in_words(info), "times": _times(by_queue[info.queue].get(info.name), now_ms)}
        )
    return View("schedules.html", "Schedules", {**numbers, "rows": rows, "total": len(known)})


def _times(stored: Any, now_ms: int) -> List[float]:
    """When it fires next, seconds since the epoch; none for a paused or unreadable one."""
    if stored is None or stored.info().next_at_s is None:
        return []
    try:
        return [one / 1000 for one in operations.next_times(stored, _TIMES, now_ms)]
    except DecodeError:
        return []


def in_words(info: ScheduleInfo) -> str:
    """When a schedule fires, in plain words; the cron line itself if it has no words."""
    if info.every_s is not None:
        return f"Every {span(info.every_s)}"
    zone = "" if info.timezone in ("", "UTC") else f", {info.timezone}"
    return f"{_cron_in_words(info.cron)}{zone}" if info.cron else ""


_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


@lru_cache(maxsize=1000)
def _cron_in_words(line: str) -> str:
    from cron_descriptor import Options, get_description  # type: ignore[import-untyped]  # noqa: PLC0415 - only this page needs it

    options = Options()
    options.use_24hour_time_format = True
    try:
        return str(get_description(_NAMED.get(line, line), options))
    except Exception:  # noqa: BLE001 - the library raises errors of many kinds for lines that it does not know
        return line
