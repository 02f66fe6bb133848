"""What of a queue is paused, by whom, since when, until when and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq.broker.operations import Operation, command, read_time_s
from bizzmq.broker.replies import as_text, pairs
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import DecodeError, QueueNotFoundError
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils.wording import span, utc

QUEUE, TASK, KEY = "queue", "task:", "key:"
OF_DEAD_LETTERS, RESUMING = "dlq:queue", "resuming"
"""Names of pauses. The last one says that messages are on their way back."""


@dataclass(frozen=True)
class Pause:
    """A pause that holds.

    Attributes:
        queue: the name of the queue.
        task, key: the task, or the key, whose messages are paused; both are "" if the queue is.
        by: who has paused it.
        reason: why; "" if no reason was given.
        since_s: since when, seconds since the epoch by Redis's clock; None if that is unreadable.
        until_s: when it ends by itself; None if somebody has to resume.
    """

    queue: str
    task: str = ""
    key: str = ""
    by: str = ""
    reason: str = ""
    since_s: float | None = None
    until_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))

    @property
    def is_of_queue(self) -> bool:
        """Whether the whole queue is paused."""
        return not self.task and not self.key

    @property
    def what(self) -> str:
        """What is paused, in words."""
        return f"task {self.task}" if self.task else f"key {self.key}" if self.key else f"queue {self.queue}"

    def sentence(self, now_s: float) -> str:
        """`task send is paused by ada since 20 min, for 1 h more: a migration`."""
        since = "" if self.since_s is None else f" since {span(now_s - self.since_s)}"
        ends = "" if self.until_s is None else f", for {span(self.until_s - now_s)} more"
        return self._about(self.what, since + ends)

    def line(self) -> str:
        """The same with times of the calendar, which does not age: `task send of mail is paused by ada since ...`."""
        what = f"{self.what} of {self.queue}" if self.task or self.key else self.what
        since = "" if self.since_s is None else f" since {utc(self.since_s)}"
        return self._about(what, since + ("" if self.until_s is None else f" until {utc(self.until_s)}"))

    def _about(self, what: str, times: str) -> str:
        by, why = f" by {self.by}" if self.by else "", f": {self.reason}" if self.reason else ""
        return f"{what} is paused{by}{times}{why}"


def read_pauses(k: QueueKeys) -> Operation[list[Pause]]:
    """The pauses of a queue that hold now, sorted. Raises QueueNotFoundError."""
    exists = yield command("EXISTS", k.meta)
    if not exists:
        raise QueueNotFoundError(k.queue)
    flat = yield command("HGETALL", k.pauses)
    return held_pauses(k, flat, (yield from read_time_s())) if flat else []


def read_pauses_if_allowed(k: QueueKeys) -> Operation[list[Pause]]:
    """The pauses of a queue or shard that hold now; none if the user of Redis may not read them."""
    try:
        flat = yield command("HGETALL", k.pauses)
    except CommandRefusedError:
        return []
    return held_pauses(k, flat, (yield from read_time_s())) if flat else []


def held_pauses(k: QueueKeys, flat: Any, now_s: float) -> list[Pause]:
    """Those of some stored pauses that hold, the queue's first."""
    found = []
    for raw_name, value in pairs(flat):
        name = as_text(raw_name)
        is_dead = name == OF_DEAD_LETTERS
        one = pause_of(k.queue, QUEUE if is_dead else name, value)
        if name != RESUMING and is_dead == k.is_dead_letter_queue and (one.until_s is None or one.until_s > now_s):
            found.append(one)
    return sorted(found, key=lambda one: (one.task, one.key))


def pause_of(queue: str, name: str, value: bytes) -> Pause:
    """A pause as it is stored. What is unreadable is left out."""
    try:
        stored = decode_body(value)
    except DecodeError:
        stored = {}
    found: Mapping[str, Any] = stored if isinstance(stored, dict) else {}
    return Pause(
        queue,
        task=name[len(TASK) :] if name.startswith(TASK) else "",
        key=name[len(KEY) :] if name.startswith(KEY) else "",
        by=_text(found.get("by")),
        reason=_text(found.get("reason")),
        since_s=_seconds(found.get("since_ms")),
        until_s=_seconds(found.get("until_ms")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: Any) -> float | None:
    return value / 1000 if type(value) in (int, float) else None
