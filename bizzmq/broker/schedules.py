"""Schedules: the transitions that change them, find the due ones, and fire these."""

from __future__ import annotations

import math
import re
from enum import IntEnum
from typing import Any, NamedTuple, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.replies import as_bytes
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.errors import QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys

NEVER = "+inf"
_STATE = re.compile(rb"(\d{1,16}) (\d{1,16}) ([0-9A-Za-z-]+) (\d{1,16}) (\d{1,16})(?:\t([^\n]+))?")


class ScheduleState(NamedTuple):
    """What a schedule has done.

    Attributes:
        due_ms, at_ms: the due time of its last fire, and when that was; 0 if it has never fired. While an occurrence
            waits for the last message, the due time of the occurrence.
        message_id: the id of that message, or "".
        fired, skipped: how often it has published, and how often it did not, because it was missed or in its own way.
        pause: the record of its pause as JSON; b"" if it is not paused.
    """

    due_ms: int = 0
    at_ms: int = 0
    message_id: str = ""
    fired: int = 0
    skipped: int = 0
    pause: bytes = b""


class DueSchedule(NamedTuple):
    """A schedule that is due. `score` is its due time as stored, `definition` is b"" if it has none."""

    name: bytes
    score: bytes
    definition: bytes
    state: ScheduleState

    @property
    def due_ms(self) -> int:
        """The due time, milliseconds since the epoch; 0 for a forged one."""
        return due_ms_of(self.score) or 0

    @property
    def series_ms(self) -> int:
        """A time of its series: the due time, or that before it was put off, which half a millisecond marks."""
        is_put_off = self.score.endswith(b".5")
        return self.state.due_ms if is_put_off and self.state.due_ms else self.due_ms


class DuePage(NamedTuple):
    """Some of the schedules that are due.

    Attributes:
        now_ms: Redis's clock.
        next_ms: when the first of the others is due; None if there are none.
    """

    now_ms: int
    next_ms: int | None
    due: list[DueSchedule]


class Fire(NamedTuple):
    """One occurrence to publish.

    Attributes:
        score: the due time as it was read: the fence.
        next_due: the next due time in ms, or NEVER.
        action: `allow`, `skip` or `queue-one` for an unfinished last message; `missed` publishes nothing.
        terms: JSON of the unique key and the expiry of the message; b"" if it has neither.
    """

    name: bytes
    score: bytes
    next_due: str
    action: str
    message_id: str = ""
    envelope: bytes = b""
    delay_ms: int = 0
    priority: int = 0
    terms: bytes = b""


class Fired(IntEnum):
    """What has become of an occurrence."""

    ELSEWHERE = 0
    FIRED = 1
    SKIPPED = 2
    WAITS = 3
    DUPLICATE = 4
    FULL = 5


class Schedules:
    """Transitions of schedules. A schedule lives on the queue itself, not on its further shards."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run
        self._connection = runner.connection

    def has_schedules(self, queue: str) -> bool:
        """Whether a queue has schedules."""
        return bool(self._connection.execute("EXISTS", self._keys(queue).due))

    def due_schedules(self, queue: str, leave_out: int = 0, limit: int = 100) -> DuePage:
        """The schedules that are due by Redis's clock, the longest due first, at most 100.

        Args:
            leave_out: how many of the first to leave out.
        """
        return due_schedules_result(self._run("due_schedules", due_schedules_call(self._keys(queue), leave_out, limit)))

    def fire(self, queue: str, fires: Sequence[Fire]) -> list[Fired]:
        """Publish the messages of due schedules, at most 100. Raises QueueNotFoundError."""
        return fire_result(self._run("fire", fire_call(self._keys(queue), fires)), queue)

    def put_schedule(
        self, queue: str, name: str, before: bytes, after: bytes, next_due: str, *, replaces_due: bool
    ) -> bool:
        """Store a definition. Returns False if it is no longer `before`, b"" for none. Raises QueueNotFoundError."""
        call = put_schedule_call(self._keys(queue), name, before, after, next_due, replaces_due=replaces_due)
        return put_schedule_result(self._run("put_schedule", call), queue)

    def pause_schedule(self, queue: str, name: str, record: bytes, until: str) -> bool:
        """Pause a schedule until a time in ms, or NEVER. Returns False if there is none."""
        return pause_schedule_result(
            self._run("pause_schedule", pause_schedule_call(self._keys(queue), name, record, until))
        )

    def resume_schedule(self, queue: str, name: str, record: bytes, next_due: str) -> bool | None:
        """End a pause, or any with b"". Returns False if there is no such pause, None if there is no schedule."""
        call = resume_schedule_call(self._keys(queue), name, record, next_due)
        return resume_schedule_result(self._run("resume_schedule", call))

    def remove_schedule(self, queue: str, name: bytes, before: bytes) -> bool | None:
        """Remove a schedule. Returns False if there is none, None if its definition is no longer `before`."""
        return remove_schedule_result(
            self._run("remove_schedule", remove_schedule_call(self._keys(queue), name, before))
        )


def due_schedules_call(k: QueueKeys, leave_out: int, limit: int) -> Call:
    return [k.due, k.schedules, k.fires], [leave_out, limit]


def due_schedules_result(reply: Any) -> DuePage:
    now, later, *rest = reply
    rows = zip(rest[::4], rest[1::4], rest[2::4], rest[3::4])
    due = [DueSchedule(name, score, definition, state_of(state)) for name, score, definition, state in rows]
    return DuePage(int(now), due_ms_of(later), due)


def due_ms_of(score: bytes) -> int | None:
    """A due time in ms; None for none, or for one that never comes."""
    number = float(score or b"inf")
    return max(0, int(number)) if math.isfinite(number) else 0 if number < 0 else None


def state_of(stored: bytes) -> ScheduleState:
    """The state from its stored text. As in the scripts, unreadable text counts as none."""
    found = _STATE.fullmatch(stored)
    if found is None:
        return ScheduleState()
    due, at, message_id, fired, skipped, pause = found.groups()
    name = "" if message_id == b"-" else message_id.decode()
    return ScheduleState(int(due), int(at), name, int(fired), int(skipped), pause or b"")


def fire_call(k: QueueKeys, fires: Sequence[Fire]) -> Call:
    key_names = [k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats, k.due, k.fires]
    return key_names, [part for fire in fires for part in fire]


def fire_result(reply: Any, queue: str) -> list[Fired]:
    """Raises QueueNotFoundError."""
    if reply == -1:
        raise QueueNotFoundError(queue)
    return [Fired(one) for one in reply]


def put_schedule_call(
    k: QueueKeys, name: str, before: bytes, after: bytes, next_due: str, *, replaces_due: bool
) -> Call:
    return [k.meta, k.schedules, k.due, k.fires], [as_bytes(name), before, after, next_due, int(replaces_due)]


def put_schedule_result(reply: Any, queue: str) -> bool:
    """False if another client has changed it. Raises QueueNotFoundError."""
    if reply == -1:
        raise QueueNotFoundError(queue)
    return bool(reply)


def pause_schedule_call(k: QueueKeys, name: str, record: bytes, until: str) -> Call:
    return [k.schedules, k.due, k.fires], [as_bytes(name), record, until]


def pause_schedule_result(reply: Any) -> bool:
    """False if there is no such schedule."""
    return bool(reply)


def resume_schedule_call(k: QueueKeys, name: str, record: bytes, next_due: str) -> Call:
    return [k.schedules, k.due, k.fires], [as_bytes(name), record, next_due]


def resume_schedule_result(reply: Any) -> bool | None:
    """False if there is no such pause, None if there is no schedule."""
    return None if reply == 0 else bool(reply == 1)


def remove_schedule_call(k: QueueKeys, name: bytes, before: bytes) -> Call:
    return [k.schedules, k.due, k.fires], [name, before]


def remove_schedule_result(reply: Any) -> bool | None:
    """False if there was nothing, None if another client has changed it."""
    return None if reply == -1 else bool(reply)
