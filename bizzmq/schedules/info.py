"""A schedule as clients and commands show it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping

from bizzmq.broker.replies import as_text
from bizzmq.broker.schedules import due_ms_of, state_of
from bizzmq.errors import DecodeError
from bizzmq.protocol.envelope import decode_body
from bizzmq.schedules import schedule as definition
from bizzmq.schedules.when import Cron

ACTIVE, PAUSED, UNDECLARED, ENDED, UNREADABLE = "active", "paused", "undeclared", "ended", "unreadable"


@dataclass(frozen=True)
class SchedulePause:
    """Why a schedule does not fire.

    Attributes:
        by: who has paused it.
        why: the reason, or "".
        since_s: when, seconds since the epoch by Redis's clock.
        until_s: when it ends; None if somebody has to resume the schedule.
    """

    by: str
    why: str
    since_s: float
    until_s: float | None


@dataclass(frozen=True)
class ScheduleInfo:
    """A schedule.

    Attributes:
        name, queue: its name, and the queue that its messages are published to.
        task: the task of its messages; "" for plain messages.
        body: the body of its messages; the arguments of a task.
        cron, timezone, every_s: when it fires: cron is "" for an interval, every_s None for a cron line.
        missed, overlap, jitter_s: as for `BizzMQ.schedule`.
        state: `active`; `paused`; `undeclared` if it fires, but the code that declared it no longer does; `ended` if it
            never fires again; `unreadable` if its definition is damaged.
        next_at_s: when it fires next, seconds since the epoch by Redis's clock; None for never.
        last_at_s: when it fired last; None for never.
        last_message_id: the id of the message that it has published last, or "".
        fired, skipped: how often it has fired, and how often it did not, as `missed`, `overlap` and `unique_key` say,
            or because the queue was full.
        app: the module whose app declares it; "" for a schedule that code does not declare.
        unique_key, expires_s: of its messages; "" and None if they have none.
        pause: why it is paused; None if it is not.
        problem: what is wrong with its definition, or "".
    """

    name: str
    queue: str
    task: str = ""
    body: Any = None
    cron: str = ""
    timezone: str = "UTC"
    every_s: float | None = None
    missed: str = definition.LAST
    overlap: str = definition.ALLOW
    jitter_s: float = 0.0
    state: str = ACTIVE
    next_at_s: float | None = None
    last_at_s: float | None = None
    last_message_id: str = ""
    fired: int = 0
    skipped: int = 0
    app: str = ""
    pause: SchedulePause | None = None
    problem: str = ""
    unique_key: str = ""
    expires_s: float | None = None

    @property
    def when(self) -> str:
        """When it fires, in words as given."""
        if self.every_s is not None:
            return f"every {self.every_s:g} s"
        return self.cron if self.timezone == "UTC" else f"{self.cron} {self.timezone}"

    def as_dict(self) -> Dict[str, Any]:
        """For JSON."""
        return asdict(self)


def info_of(name: bytes, queue: str, stored: bytes, score: bytes | None, state: bytes | None) -> ScheduleInfo:
    """The schedule from what is stored of it: definition, due time, state."""
    done = state_of(state or b"")
    pause = pause_of(done.pause) if done.pause else None
    next_ms = None if score is None else due_ms_of(score)
    facts: Dict[str, Any] = {
        "next_at_s": None if next_ms is None or pause is not None else next_ms / 1000,
        "last_at_s": done.at_ms / 1000 if done.at_ms else None,
        "last_message_id": done.message_id, "fired": done.fired, "skipped": done.skipped, "pause": pause,
    }  # fmt: skip
    try:
        found = definition.decode(as_text(name), queue, stored)
    except DecodeError as error:
        return ScheduleInfo(as_text(name), queue, **facts, state=UNREADABLE, problem=str(error))
    options, (task, body) = found.options, definition.content_of(found)
    when = options.when
    is_cron = isinstance(when, Cron)
    word = ACTIVE if score is not None and next_ms is not None else ENDED
    return ScheduleInfo(
        found.name, queue, task, body, when.line if isinstance(when, Cron) else "",
        when.timezone if isinstance(when, Cron) else "UTC", None if is_cron else when.every_ms / 1000,  # type: ignore[union-attr]
        options.missed, options.overlap, options.jitter_ms / 1000,
        PAUSED if pause else UNDECLARED if found.is_undeclared else word, app=found.app,
        unique_key=found.terms.unique_key,
        expires_s=found.terms.expires_ms / 1000 if found.terms.expires_ms else None, **facts,
    )  # fmt: skip


def pause_of(record: bytes) -> SchedulePause:
    """The pause from its stored record. A damaged record is a pause without facts."""
    try:
        stored: Mapping[str, Any] = decode_body(record)
        until_ms = stored.get("until_ms")
        return SchedulePause(
            str(stored.get("by", "")), str(stored.get("why", "")), float(stored.get("since_ms", 0)) / 1000,
            None if until_ms is None else float(until_ms) / 1000,
        )  # fmt: skip
    except (DecodeError, AttributeError, TypeError, ValueError, OverflowError):
        return SchedulePause("", "", 0.0, None)
