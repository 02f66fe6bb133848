"""One message: why it is where it is, and all that is known of it."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Tuple

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
            "is_bad": about.state in _BAD or about.situation in _BAD, "acts": acts_of(about.state),
            "is_known": about.message is not None or about.ending is not None,
        },
        404 if about.state == UNKNOWN and about.message is None else 200,
    )  # fmt: skip


def acts_of(state: str) -> Tuple[str, ...]:
    """The acts that a message in a state allows."""
    if state == DEAD_LETTERED:
        return "replay", "edit", "delete"
    if state in (WAITING, DELAYED, SUSPENDED):
        return "cancel", "delete"
    return ("cancel",) if state == PROCESSING else ()


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
