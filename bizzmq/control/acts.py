"""The log of what people have done on dashboards: who, what, before, after. One bounded stream for all queues."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

from bizzmq.broker.operations import Operation, command
from bizzmq.broker.replies import as_text, pairs
from bizzmq.protocol import keys
from bizzmq.utils import logs

MOST_ACTS = 10_000
"""About how many entries are kept; the oldest are deleted beyond it. An act has two: its beginning, and its end."""
_LONGEST = 2000
_FIELDS = ("act", "who", "role", "what", "queue", "message", "before", "after")


class Act(NamedTuple):
    """Something that somebody did.

    Attributes:
        id: its id, which both of its entries have.
        at_s: when it began, seconds since the epoch by Redis's clock.
        who, role: who did it, and their role.
        what: what they did, such as `cancel` or `replay`.
        queue, message: the names of what it was done to; "" where there is none.
        before: what was known before.
        after: what came of it; "" if that was not recorded: it is going on, or the dashboard has died.
    """

    id: str
    at_s: float
    who: str
    role: str
    what: str
    queue: str = ""
    message: str = ""
    before: str = ""
    after: str = ""


def record_act(act: str, fields: Mapping[str, str]) -> Operation[None]:
    """Add an entry to the log.

    Args:
        act: the id of the act.
        fields: `who`, `role`, `what`, `queue`, `message`, `before`, `after`, as far as they are known.

    Raises:
        BrokerFullError, CommandRefusedError
    """
    known = {"act": act, **{name: logs.cut(logs.escape(value), _LONGEST) for name, value in fields.items() if value}}
    flat = [part for name in _FIELDS if name in known for part in (name, known[name])]
    yield command("XADD", keys.ACTS, "MAXLEN", "~", f"{MOST_ACTS}", "*", *flat)


def read_acts(limit: int = 200) -> Operation[list[Act]]:
    """The last acts, newest first.

    Args:
        limit: how many entries are read at most.
    """
    entries: Sequence[Any] = yield command("XREVRANGE", keys.ACTS, "+", "-", "COUNT", f"{limit}")
    ends: dict[str, str] = {}
    found: list[Act] = []
    for entry_id, flat in entries or ():
        fields = {as_text(name): as_text(value) for name, value in pairs(flat)}
        act = fields.pop("act", as_text(entry_id))
        if "who" not in fields:
            ends.setdefault(act, fields.get("after", ""))
            continue
        at_s = int(as_text(entry_id).partition("-")[0]) / 1000
        who, role, what, queue, message, before = (fields.get(name, "") for name in _FIELDS[1:-1])
        found.append(Act(act, at_s, who, role, what, queue, message, before, ends.get(act, "")))
    return found
