"""Operations on schedules: add, list, pause, resume, remove, declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Sequence

from bizzmq.admin.stats import read_queue_names
from bizzmq.broker.operations import Operation, Script, Together, command, read_time_ms
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_bytes, as_text, pairs
from bizzmq.broker.schedules import (
    pause_schedule_call,
    pause_schedule_result,
    put_schedule_call,
    put_schedule_result,
    remove_schedule_call,
    remove_schedule_result,
    resume_schedule_call,
    resume_schedule_result,
)
from bizzmq.errors import (
    QUEUE_TROUBLE,
    BizzMQError,
    ConfigurationError,
    DecodeError,
    QueueNotFoundError,
    ScheduleNotFoundError,
)
from bizzmq.protocol import json_codec
from bizzmq.protocol.keys import QueueKeys, is_dead_letter_queue
from bizzmq.protocol.sealing import Sealer
from bizzmq.schedules.info import ScheduleInfo, info_of
from bizzmq.schedules.planning import due_text
from bizzmq.schedules.schedule import Schedule, declared_again, decode

_TRIES = 5


@dataclass(frozen=True)
class Stored:
    """A schedule as it is stored. `definition` is b"" if there is only a due time or a state."""

    name: bytes
    queue: str
    definition: bytes
    score: bytes | None
    state: bytes | None

    def info(self) -> ScheduleInfo:
        return info_of(self.name, self.queue, self.definition, self.score, self.state)


def read_all(k: QueueKeys) -> Operation[list[Stored]]:
    """All schedules of a queue, sorted by name; also the rests of damaged ones."""
    found = yield Together([("HGETALL", k.schedules), ("ZRANGE", k.due, 0, -1, "WITHSCORES"), ("HGETALL", k.fires)])
    definitions, due, states = (dict(pairs(flat)) for flat in found)
    names = sorted({*definitions, *due, *states})
    return [Stored(name, k.queue, definitions.get(name, b""), due.get(name), states.get(name)) for name in names]


def read_stored(queue: str) -> Operation[list[Stored]]:
    """As `read_all`, for the name of a queue."""
    return (yield from read_all(QueueKeys(queue)))


def read_schedules(k: QueueKeys | None) -> Operation[list[ScheduleInfo]]:
    """The schedules of a queue, or of all queues. Raises QueueNotFoundError."""
    found: list[ScheduleInfo] = []
    for home in (yield from _homes(k)):
        try:
            stored = yield from read_all(home)
        except QUEUE_TROUBLE:
            if k is not None:
                raise
            continue  # a queue that cannot be read, among others
        found += [one.info() for one in stored if one.definition]
    return found


def _homes(k: QueueKeys | None) -> Operation[list[QueueKeys]]:
    if k is None:
        names = yield from read_queue_names()
        return [QueueKeys(name) for name in names if not is_dead_letter_queue(name)]
    if not (yield command("EXISTS", k.meta)):
        raise QueueNotFoundError(k.queue)
    return [k]


def find_schedule(k: QueueKeys | None, name: str) -> Operation[Stored]:
    """A schedule by its name, on one queue or on any.

    Raises:
        ScheduleNotFoundError: there is none.
        ConfigurationError: several queues have one.
    """
    found: list[Stored] = []
    for home in (yield from _homes(k)):
        try:
            stored = yield from _read_one(home, as_bytes(name))
        except QUEUE_TROUBLE:
            if k is not None:
                raise
            continue
        if stored.definition:
            found.append(stored)
    if not found:
        raise ScheduleNotFoundError(name, "" if k is None else k.queue)
    if len(found) > 1:
        queues = ", ".join(one.queue for one in found)
        raise ConfigurationError(f"several queues have a schedule {name!r}: {queues}; name one of them")
    return found[0]


def _read_one(k: QueueKeys, name: bytes) -> Operation[Stored]:
    definition, score, state = yield Together(
        [("HGET", k.schedules, name), ("ZSCORE", k.due, name), ("HGET", k.fires, name)]
    )
    return Stored(name, k.queue, definition or b"", score, state)


def put(schedule: Schedule, sealer: Sealer | None, *, is_new: bool = False) -> Operation[ScheduleInfo]:
    """Store a schedule. One that exists keeps its pause and, unless it fires at other times now, its due time.

    Args:
        is_new: refuse one that exists.

    Raises:
        ConfigurationError: it exists, and `is_new` is set.
        QueueNotFoundError
    """
    k, after = QueueKeys(schedule.queue), schedule.encode(sealer)
    for _ in range(_TRIES):
        before = yield from _read_one(k, as_bytes(schedule.name))
        if is_new and before.definition not in (b"", after) and not _is_same(before, schedule, sealer):
            raise ConfigurationError(f"queue {k.queue!r} has a schedule {schedule.name!r} already; remove it first")
        if (yield from _put(k, before, schedule, after)):
            stored = yield from _read_one(k, as_bytes(schedule.name))
            return stored.info()
    raise BizzMQError(f"other clients change the schedule {schedule.name!r} all the time")


def _put(k: QueueKeys, before: Stored, schedule: Schedule, after: bytes) -> Operation[bool]:
    """Store a definition in place of another one. False if that has changed meanwhile. Raises ConfigurationError."""
    if schedule.terms.unique_key and len((yield from read_shards(k))) > 1:
        raise ConfigurationError(
            f"queue {k.queue!r} has shards, so a schedule cannot have a unique key: it publishes to the first one only"
        )
    now_ms = yield from read_time_ms()
    next_due = due_text(schedule.options.when.first(now_ms))
    replaces_due = not _has_same_times(before, schedule)
    call = put_schedule_call(k, schedule.name, before.definition, after, next_due, replaces_due=replaces_due)
    return put_schedule_result((yield Script("put_schedule", call)), k.queue)


def _has_same_times(before: Stored, schedule: Schedule) -> bool:
    try:
        return decode(schedule.name, before.queue, before.definition).options.when == schedule.options.when
    except DecodeError:
        return False


def pause(
    k: QueueKeys | None, name: str, by: str, why: str, until_ms: int | None
) -> Operation[ScheduleInfo]:  # fmt: skip
    """Pause a schedule. Raises as `find_schedule`, and ConfigurationError: the time is over by Redis's clock."""
    stored = yield from find_schedule(k, name)
    home, now_ms = QueueKeys(stored.queue), (yield from read_time_ms())
    if until_ms is not None and until_ms <= now_ms:
        raise ConfigurationError("until must be in the future by Redis's clock")
    record = {"by": by, "why": why, "since_ms": now_ms, "until_ms": until_ms}
    call = pause_schedule_call(home, name, json_codec.dumps(record), due_text(until_ms))
    if not pause_schedule_result((yield Script("pause_schedule", call))):
        raise ScheduleNotFoundError(name, home.queue)
    return (yield from _read_one(home, stored.name)).info()


def resume(k: QueueKeys | None, name: str) -> Operation[ScheduleInfo]:
    """End the pause of a schedule. It fires next at its next time. Raises as `find_schedule`."""
    stored = yield from find_schedule(k, name)
    home = QueueKeys(stored.queue)
    when = decode(name, home.queue, stored.definition).options.when
    next_ms = when.first((yield from read_time_ms()))
    reply = yield Script("resume_schedule", resume_schedule_call(home, name, b"", due_text(next_ms)))
    if resume_schedule_result(reply) is None:
        raise ScheduleNotFoundError(name, home.queue)
    return (yield from _read_one(home, stored.name)).info()


def remove(k: QueueKeys | None, name: str) -> Operation[bool]:
    """Remove a schedule. False if there is none. Raises ConfigurationError if several queues have it."""
    try:
        stored = yield from find_schedule(k, name)
    except ScheduleNotFoundError:
        return False
    return (yield from remove_stored(stored))


def remove_stored(stored: Stored) -> Operation[bool]:
    """Remove a schedule, or the rests of one. False if it has changed meanwhile, or is gone."""
    call = remove_schedule_call(QueueKeys(stored.queue), stored.name, stored.definition)
    return bool(remove_schedule_result((yield Script("remove_schedule", call))))


def prune(k: QueueKeys | None) -> Operation[list[ScheduleInfo]]:
    """Remove the schedules that their code no longer declares. Returns what was removed."""
    removed: list[ScheduleInfo] = []
    for home in (yield from _homes(k)):
        for stored in (yield from read_all(home)):
            if _is_undeclared(stored) and (yield from remove_stored(stored)):
                removed.append(stored.info())  # noqa: PERF401 - a comprehension cannot yield
    return removed


def _is_undeclared(stored: Stored) -> bool:
    try:
        return decode("", stored.queue, stored.definition).is_undeclared
    except DecodeError:
        return False


def declare(k: QueueKeys, schedules: Sequence[Schedule], app: str, sealer: Sealer | None) -> Operation[list[str]]:
    """Store the schedules that an app declares on a queue, and mark those that it no longer declares.

    Returns:
        The names of those that are new or have changed.
    """
    stored = {one.name: one for one in (yield from read_all(k))}
    changed: list[str] = []
    for schedule in (*schedules, *_no_longer_declared(stored.values(), schedules, app, sealer)):
        after = schedule.encode(sealer)
        before = stored.get(as_bytes(schedule.name), Stored(b"", k.queue, b"", None, None))
        if before.score is not None and _is_same(before, schedule, sealer):
            continue
        if not (yield from _put(k, before, schedule, after)):
            yield from put(schedule, sealer)
        changed.append(schedule.name)
    return changed


def _is_same(before: Stored, schedule: Schedule, sealer: Sealer | None) -> bool:
    """Whether a schedule is stored like this. Two seals of one envelope may differ."""
    try:
        return decode(schedule.name, before.queue, before.definition, sealer or Sealer()) == schedule
    except DecodeError:
        return False


def _no_longer_declared(
    stored: Iterable[Stored], schedules: Sequence[Schedule], app: str, sealer: Sealer | None
) -> list[Schedule]:
    declared = {as_bytes(schedule.name) for schedule in schedules}
    found: list[Schedule] = []
    for one in stored:
        if one.name in declared or not one.definition:
            continue
        try:
            schedule = decode(as_text(one.name), one.queue, one.definition, sealer or Sealer())
        except DecodeError:
            continue
        if schedule.app == app and not schedule.is_undeclared:
            found.append(declared_again(schedule, is_undeclared=True))
    return found


def next_times(stored: Stored, count: int, now_ms: int) -> list[int]:
    """The next times at which a schedule fires, ms. Those of a paused one are the times that it would have."""
    when = decode("", stored.queue, stored.definition).options.when
    info = stored.info()
    due_ms = now_ms if info.next_at_s is None else round(info.next_at_s * 1000)
    times: list[int] = []
    following: Any = due_ms if info.next_at_s is not None else when.first(now_ms)
    while following is not None and len(times) < count:
        times.append(following)
        following = when.after(following, max(following, now_ms))
    return times
