"""Messages as rows of a list, and which of them match a filter."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

from bizzmq.admin.message_filter import MessageFilter
from bizzmq.admin.stored_message import StoredMessage
from bizzmq.dead_letters.fingerprint import fingerprint_of
from bizzmq.properties import NO_PROPERTIES

FILTERS = ("task", "key", "error", "body", "fingerprint")


def row_of(one: StoredMessage) -> Dict[str, Any]:
    """A message as one row."""
    properties = (one.message.properties if one.message else None) or NO_PROPERTIES
    record = one.error or one.last_crash or {}
    error = f"{record.get('error_type', '')}: {record.get('error', '')}".strip(": ") if record else one.last_error
    return {
        "id": one.id, "task": properties.task, "key": properties.key, "published_at_s": one.published_at_s,
        "due_at_s": one.due_at_s, "worker": one.worker, "deliveries": one.delivery, "error": one.problem or error,
        "priority": one.priority,
    }  # fmt: skip


def matcher(filters: Mapping[str, str]) -> Callable[[StoredMessage], bool]:
    """Whether a message is what the filters ask for. They are of FILTERS; what is missing matches all."""
    given: Dict[str, Any] = {name: filters[name] for name in FILTERS[:-1] if filters.get(name)}
    shown, fingerprint = MessageFilter(**given), filters.get("fingerprint")

    def matches(one: StoredMessage) -> bool:
        return shown.shows(one) and (not fingerprint or fingerprint_of(one.error or {}).value == fingerprint)

    return matches
