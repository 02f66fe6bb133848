"""One message: why it is where it is, and all that is known of it."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from bizzmq.admin.explain.details import MessageDetails
from bizzmq.admin.message_status import UNKNOWN
from bizzmq.admin.stored_message import DEAD_LETTERED, DELAYED, PROCESSING, SUSPENDED, WAITING
from bizzmq.protocol.keys import logical_queue, owner_of
from bizzmq.web.flame_graph import flame_graph
from bizzmq.web.site import Look, Site, View

_STACKS = ("traceback", "stack")
_TITLES = {
    "options": "Options", "attempts": "Attempts", "error": "Error", "last_crash": "Last crash of its worker",
    "result": "Result", "handler_error": "Error of the dead-letter queue's own handler",
}  # fmt: skip
_WITHIN = ("cancel_requested", "replaced")
"""What can happen to a message during a delivery."""
_BAD = ("dead_lettered", "failed", "expired", "discarded", "quarantined")


async def message(site: Site, look: Look) -> View:
    """The page of a message of a queue."""
    queue, message_id = look.path["queue"], look.path["id"]
    details = await site.client.show_message(message_id, queue)
    return _view(details, logical_queue(owner_of(queue)))


async def find(site: Site, look: Look) -> View:
    """The page of a message whose queue is not known. All queues are searched."""
    message_id = look.query.get("id", look.path.get("id", "")).strip()
    details = await site.client.show_message(message_id)
    name = details.explanation.queue
    return _view(details, logical_queue(owner_of(name)) if name else "")


def _view(details: MessageDetails, queue: str) -> View:
    about = details.explanation
    return View(
        "message.html",
        about.id,
        {
            "about": about, "queue": queue, "stored": about.message, "sections": _sections(details),
            "body": details.body, "problem": details.problem, "progress": details.sections.get("progress"),
            "output": details.output, "history": details.history, "flame": flame_graph(details.profile),
            "deliveries": deliveries_of(details),
            "is_bad": about.state in _BAD or about.situation in _BAD, "acts": acts_of(about.state),
            "is_known": about.message is not None or about.ending is not None,
        },
        404 if about.state == UNKNOWN and about.message is None else 200,
    )  # fmt: skip


class Delivery(NamedTuple):
    """One delivery: seconds, bytes; None for what is not known."""

    number: Optional[int]
    worker: str
    host: str
    began_s: Optional[float]
    lasted_s: Optional[float]
    ended: str
    cpu_s: Optional[float]
    peak_bytes: Optional[float]


def deliveries_of(details: MessageDetails) -> List[Delivery]:
    """The deliveries that the history knows, oldest first. A crash's record knows the processor time and the memory."""
    entries = details.history.entries
    crash = details.sections.get("last_crash") or details.sections.get("error", {}).get("last_crash") or {}
    found: List[Delivery] = []
    for place, entry in enumerate(entries):
        if entry.event != "claimed":
            continue
        end = next((one for one in entries[place + 1 :] if one.event not in _WITHIN), None)
        is_crash = end is not None and end.event == "requeued" and crash.get("worker") == entry.worker
        known = end is not None and end.at_s is not None and entry.at_s is not None
        found.append(
            Delivery(
                entry.delivery, entry.worker, entry.host, entry.at_s,
                max(0.0, end.at_s - entry.at_s) if known else None,  # type: ignore[union-attr,operator]
                end.event if end is not None else "running", _number(crash, "cpu_s") if is_crash else None,
                _number(crash, "peak_memory_bytes") if is_crash else None,
            )
        )  # fmt: skip
    return found


def _number(record: Mapping[str, Any], name: str) -> Optional[float]:
    value = record.get(name)
    return float(value) if isinstance(value, (int, float)) else None


def acts_of(state: str) -> Tuple[str, ...]:
    """The acts that a message in a state allows."""
    if state == DEAD_LETTERED:
        return "replay", "edit", "delete"
    if state == DELAYED:
        return "retry", "cancel", "delete"
    if state in (WAITING, SUSPENDED):
        return "cancel", "delete"
    return ("cancel", "stack") if state == PROCESSING else ()


def _sections(details: MessageDetails) -> List[Dict[str, Any]]:
    found: List[Dict[str, Any]] = []
    for name, section in details.sections.items():
        if name == "progress":
            continue  # it is a bar
        _add_section(found, name, section)
    return found


def _add_section(found: List[Dict[str, Any]], name: str, section: Mapping[str, Any]) -> None:
    facts, stacks, value = [], [], None
    for field, stored in section.items():
        if field in _STACKS:
            stacks.append(str(stored))
        elif name == "result" and field == "value":
            value = json.dumps(stored, indent=2, ensure_ascii=False)
        elif isinstance(stored, dict) and field in _TITLES:
            continue
        elif stored not in ("", None):
            facts.append({"name": field, "value": stored, "is_time": field.endswith("_ms") and isinstance(stored, int)})
    found.append({
        "name": name, "title": _TITLES.get(name, name), "facts": facts, "stacks": [one for one in stacks if one],
        "value": value,
    })  # fmt: skip
    for field, stored in section.items():
        if isinstance(stored, dict) and field in _TITLES:
            _add_section(found, field, stored)
