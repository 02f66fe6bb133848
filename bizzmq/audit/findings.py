"""Findings of an audit in words: the damage, its meaning, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Sequence

from bizzmq.audit.locations import DEAD, OWN, MessageLocations


class Kind(Enum):
    """Kinds of damage. The values are published: `bizzmq audit` prints them."""

    WRONG_TYPE = "wrong type"
    NO_OPTIONS = "no options"
    BAD_OPTIONS = "bad options"
    UNREADABLE = "unreadable"
    MISSING_BODY = "hollow"
    UNPLACED = "stray"
    DUPLICATE = "doubled"
    STALE_ATTEMPTS = "leftover"
    UNREGISTERED = "orphaned"
    UNSUPERVISED = "unsupervised"
    ACCOUNTS = "books"
    SCHEDULES = "schedules"
    LEFTOVERS = "beside"
    UNLISTED = "unlisted"
    KEYLESS = "keyless"
    UNIQUE_KEYS = "unique keys"


@dataclass(frozen=True)
class Holder:
    """A worker whose messages must be requeued, with its supervisor if it has one."""

    worker: bytes
    supervisor: bytes = b""


@dataclass(frozen=True)
class Finding:
    """One kind of damage on one side of a queue.

    Attributes:
        side: OWN or DEAD.
        queue: that side's name.
        subjects: ids, workers, keys or counters, as text.
        what: a sentence about all of them.
        do: advice to the operator.
        done: what `repair` does with them, as a participle; "" if it cannot repair them.
        messages, holders, names: the same subjects as values, for the repair.
    """

    kind: Kind
    side: int
    queue: str
    subjects: tuple[str, ...]
    what: str
    do: str
    done: str = ""
    messages: tuple[MessageLocations, ...] = ()
    holders: tuple[Holder, ...] = ()
    names: tuple[bytes, ...] = ()


_ABOUT_IDS = {
    Kind.MISSING_BODY: (
        "in a place, but without its message, which was deleted by hand, evicted, or never published",
        "removed and counted as missing; the messages cannot be restored",
    ),
    Kind.UNPLACED: ("stored, but in no place, so no worker would handle it", "put back to the head of the queue"),
    Kind.DUPLICATE: (
        "in several places, so it would be handled several times",
        "kept in one place: with the worker that holds it, else where it can be claimed",
    ),
    Kind.STALE_ATTEMPTS: ("without a message and in no place, but with counted attempts, which only use memory",
                          "deleted"),
}  # fmt: skip
LEFTOVERS = {
    "gone": (
        Kind.LEFTOVERS, "id",
        "without a message, but with an entry, a checkpoint, progress, ... beside it, which only use memory", "deleted",
    ),
    "unlisted": (
        Kind.UNLISTED, "message", "with something beside it, which would stay when it ends, since no entry says so",
        "entered",
    ),
    "keyless": (
        Kind.KEYLESS, "message", "without its unique key: another message with the same key would be published",
        "given its key again",
    ),
    "stale": (
        Kind.UNIQUE_KEYS, "unique key", "of a message that has ended: it holds nothing back, and only uses memory",
        "deleted",
    ),
}  # fmt: skip
"""What the script `find_leftovers` finds: kind, subject, meaning and repair."""
_REPAIR = "run it again with --repair"
_SHOWN_BYTES = 200


def about_ids(kind: Kind, side: int, queue: str, messages: Sequence[MessageLocations]) -> Finding:
    what, done = _ABOUT_IDS[kind]
    subjects = tuple(readable(locations.id) for locations in messages)
    text = f"{_count(len(messages), 'id')} {what}"
    return Finding(kind, side, queue, subjects, text, f"{_REPAIR}: {done}", done, tuple(messages))


def wrong_type(side: int, queue: str, key: str, found: str, wanted: str) -> Finding:
    return Finding(
        Kind.WRONG_TYPE, side, queue, (key,),
        f"a key that is a {found} and must be a {wanted}: commands on it fail, and the rest cannot be audited",
        "find out which client writes to it, rename it (redis-cli RENAME), and audit again",
    )  # fmt: skip


def no_options(side: int, queue: str, key: str) -> Finding:
    return Finding(
        Kind.NO_OPTIONS, side, queue, (key,),
        "the queue's options are missing, but not its other keys: no client can publish to it or work on it",
        "create the queue again with its options (create_queue), or start a pool on it",
    )  # fmt: skip


def bad_options(side: int, queue: str, key: str, what: str) -> Finding:
    return Finding(
        Kind.BAD_OPTIONS, side, queue, (key,),
        f"{what}: pools have set the queue aside",
        f"redis-cli HSET {key} OPTION VALUE; the pools resume within seconds",
    )  # fmt: skip


def unreadable_counters(side: int, queue: str, key: str, counters: Sequence[str]) -> Finding:
    return Finding(
        Kind.UNREADABLE, side, queue, tuple(counters),
        "counters that are not numbers: they count as 0 here, and later counts are in a spare counter beside each",
        f"redis-cli HDEL {key} COUNTER, then audit again",
    )  # fmt: skip


def unregistered_worker(side: int, queue: str, held: Sequence[Holder], count: int) -> Finding:
    done = "put back to the head of the queue"
    return Finding(
        Kind.UNREGISTERED, side, queue, tuple(readable(one.worker) for one in held),
        f"{_count(count, 'message')} held by {_count(len(held), 'worker')} not registered: no pool would requeue them",
        f"{_REPAIR}: {done}", done, holders=tuple(held),
    )  # fmt: skip


def unsupervised(side: int, queue: str, held: Sequence[Holder]) -> Finding:
    return Finding(
        Kind.UNSUPERVISED, side, queue, tuple(f"{readable(one.worker)} of {readable(one.supervisor)}" for one in held),
        f"{_count(len(held), 'worker')} registered by a supervisor that is not registered, for a whole lease",
        f"a pool on this queue requeues their messages within its lease; without a pool, {_REPAIR}",
        "unregistered, and their messages put back to the head of the queue", holders=tuple(held),
    )  # fmt: skip


def schedule_without_due_time(queue: str, names: Sequence[bytes]) -> Finding:
    done = "due at their next time"
    return _about_schedules(queue, names, "without a due time, so they never fire", f"{_REPAIR}: {done}", done)


def rest_of_schedule(queue: str, names: Sequence[bytes]) -> Finding:
    what = "without a definition, of which only a due time or a state is left"
    return _about_schedules(queue, names, what, f"{_REPAIR}: removed", "removed")


def unreadable_schedule(queue: str, names: Sequence[bytes]) -> Finding:
    do = "bizzmq schedule remove NAME, and add it again; an app's pool stores its schedules when it starts"
    return _about_schedules(queue, names, "with a definition that cannot be read, so they never fire", do, "")


def _about_schedules(queue: str, names: Sequence[bytes], what: str, do: str, done: str) -> Finding:
    subjects = tuple(name.decode("utf-8", "surrogateescape") for name in names)
    return Finding(Kind.SCHEDULES, OWN, queue, subjects, f"{_count(len(names), 'schedule')} {what}", do, done)


def leftovers(queue: str, damage: str, names: Sequence[bytes]) -> Finding:
    """Ids or unique keys with one kind of damage of LEFTOVERS."""
    kind, subject, what, done = LEFTOVERS[damage]
    subjects, text = tuple(map(readable, names)), f"{_count(len(names), subject)} {what}"
    return Finding(kind, OWN, queue, subjects, text, f"{_REPAIR}: {done}", done, names=tuple(names))


def unbalanced(side: int, queue: str, difference: int, *, explained: bool) -> Finding:
    vanished = difference > 0
    if explained:
        why = "as many ids had no message" if vanished else "as many messages were put back"
        do, done = f"{_REPAIR}: written off, since the reason is known ({why})", f"written off: {why}"
    else:
        do = "find the cause (eviction? keys deleted or written by hand?), then accept it with --write-off"
        done = ""
    text = "vanished without being handled" if vanished else "there or handled, though never published"
    return Finding(Kind.ACCOUNTS, side, queue, (), f"{_count(abs(difference), 'message')} {text}", do, done)


def damage_of(message: MessageLocations) -> list[tuple[Kind, int]]:
    """Kinds of damage of one id, each with its side. Pure."""
    wrong = []
    for side in (OWN, DEAD):
        if not message.stored[side] and message.on(side):
            wrong.append((Kind.MISSING_BODY, side))
        elif not message.stored[side] and message.has_attempts[side]:
            wrong.append((Kind.STALE_ATTEMPTS, side))
    if all(message.stored):
        return [*wrong, (Kind.DUPLICATE, OWN)]
    for side in (OWN, DEAD):
        times = sum(location.times for location in message.on(side))
        if message.stored[side] and times != 1:
            wrong.append((Kind.UNPLACED if times == 0 else Kind.DUPLICATE, side))
    return wrong


def readable(raw: bytes) -> str:
    """An id or a name as printable text. A long one is cut."""
    return raw[:_SHOWN_BYTES].decode("utf-8", "backslashreplace") + ("..." if len(raw) > _SHOWN_BYTES else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
