"""The history of a message: what has happened to it, as scripts note it and as people read it."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq.protocol.ids import host_and_pid

_FIELDS = 7
_NUMBER = re.compile(r"-?[0-9]{1,16}\Z")
PUBLISHED = "published"


@dataclass(frozen=True)
class HistoryEntry:
    """Something that has happened to a message.

    Attributes:
        event: `published`, `replaced` (by a publish with the same unique key), `promoted` (a delay was over),
            `suspended` (put aside for a pause), `resumed`, `claimed` (by a worker), `released` (given back), `retried`
            (it has failed), `requeued` (its worker has died, or does not know its task), `cancel_requested`,
            `dead_lettered`, `parked` (it has failed in the dead-letter queue), `replayed`; and the end: `succeeded`,
            `discarded`, `cancelled` or `expired`.
        at_s: when, seconds since the epoch; None if that is not known. Recorded ones are by Redis's clock, others by
            the worker's.
        in_dead_letters: whether it was in the dead-letter queue.
        worker: the id of the worker that has claimed it or returned it; "" for none.
        delivery: the number of the delivery, of `claimed`; None for others.
        until_s: until when the message is delayed from then on, or of `promoted` was, seconds since the epoch; None if
            it is not.
        why: the error or the reason in one line; "" for none.
    """

    event: str
    at_s: float | None
    in_dead_letters: bool = False
    worker: str = ""
    delivery: int | None = None
    until_s: float | None = None
    why: str = ""

    @property
    def host(self) -> str:
        """The host of the worker; "" for none."""
        return host_and_pid(self.worker)[0] if self.worker else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the attributes that it has."""
        about = {**vars(self), "host": self.host}
        return {name: value for name, value in about.items() if value not in (None, "", False)}


@dataclass(frozen=True)
class MessageHistory:
    """What has happened to a message, oldest first.

    Attributes:
        entries: at most 32: the first two and the last thirty.
        left_out: how many more there were, between the second and the third entry.
        is_recorded: whether the queue keeps histories. If not, the entries are what the message's own records tell: its
            publish, its last error or crash, its dead-lettering, its end.
    """

    entries: tuple[HistoryEntry, ...]
    left_out: int = 0
    is_recorded: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "is_recorded": self.is_recorded, "left_out": self.left_out,
            "entries": [entry.as_dict() for entry in self.entries],
        }  # fmt: skip


def decode_history(stored: bytes | None) -> tuple[int, list[HistoryEntry]] | None:
    """The number of lines that were left out, and those that were kept; None if nothing was noted, or it is damaged."""
    head, _, text = (stored or b"").decode("utf-8", "replace").partition("\n")
    if not (head.isascii() and head.isdigit() and len(head) < 16):
        return None
    found = [_entry(line.split("\t")) for line in text.split("\n")]
    return int(head), [entry for entry in found if entry is not None]


def _entry(fields: list[str]) -> HistoryEntry | None:
    if len(fields) != _FIELDS or _NUMBER.match(fields[0]) is None:
        return None
    at_ms, event, side, worker, delivery, until_ms, why = fields
    return HistoryEntry(
        event, int(at_ms) / 1000, side == "dlq", worker, int(delivery) if _NUMBER.match(delivery) else None,
        int(until_ms) / 1000 if _NUMBER.match(until_ms) else None, why,
    )  # fmt: skip


def entry_of_record(event: str, record: Mapping[str, Any], *, in_dead_letters: bool = False) -> HistoryEntry:
    """An entry from an error record."""
    worker, why = record.get("worker"), f"{record.get('error_type', 'Error')}: {record.get('error', '')}"
    return HistoryEntry(
        event, _seconds(record.get("failed_at")), in_dead_letters, worker if isinstance(worker, str) else "",
        why=why.partition("\n")[0][:300],
    )  # fmt: skip


def _seconds(stamp: Any) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")))
    except (TypeError, ValueError, OverflowError):
        return None
