"""What an audit may find, in words: what it is, what it means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Sequence

from bizzmq.sight import DEAD, OWN, Sight


class Kind(Enum):
    """Each way in which a queue can be damaged."""

    WRONG_TYPE = "wrong type"
    NO_OPTIONS = "no options"
    BAD_OPTIONS = "bad options"
    UNREADABLE = "unreadable"
    HOLLOW = "hollow"
    STRAY = "stray"
    DOUBLED = "doubled"
    LEFTOVER = "leftover"
    ORPHANED = "orphaned"
    UNSUPERVISED = "unsupervised"
    BOOKS = "books"


@dataclass(frozen=True)
class Held:
    """What a worker holds that it should not hold any more."""

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
        do: what to do about it.
        done: what `repair` does with them, as a participle; "" if it cannot mend that.
        sights, held: what it was found by, for the repair.
    """

    kind: Kind
    side: int
    queue: str
    subjects: tuple[str, ...]
    what: str
    do: str
    done: str = ""
    sights: tuple[Sight, ...] = ()
    held: tuple[Held, ...] = ()


_ABOUT_IDS = {
    Kind.HOLLOW: (
        "in a place, but without its message: that was deleted by hand, evicted, or never published",
        "taken out and counted as missing; what the message said cannot be brought back",
    ),
    Kind.STRAY: ("stored, but in no place: nobody would ever handle it", "put back to the head of the queue"),
    Kind.DOUBLED: (
        "in several places, so it would be handled several times",
        "left in one place: with the worker that holds it, else where it can be claimed",
    ),
    Kind.LEFTOVER: ("without a message and in no place, of which attempts were counted: it only uses memory",
                    "forgotten"),
}  # fmt: skip
_REPAIR = "run it again with --repair"
_SHOWN_BYTES = 200


def about_ids(kind: Kind, side: int, queue: str, sights: Sequence[Sight]) -> Finding:
    what, done = _ABOUT_IDS[kind]
    subjects = tuple(shown(sight.id) for sight in sights)
    text = f"{_count(len(sights), 'id')} {what}"
    return Finding(kind, side, queue, subjects, text, f"{_REPAIR}: {done}", done, tuple(sights))


def wrong_type(side: int, queue: str, key: str, found: str, wanted: str) -> Finding:
    return Finding(
        Kind.WRONG_TYPE, side, queue, (key,),
        f"a key that is a {found} and must be a {wanted}: commands on it fail, and the rest cannot be audited",
        "find out who writes to it, give it another name (redis-cli RENAME), and audit again",
    )  # fmt: skip


def no_options(side: int, queue: str, key: str) -> Finding:
    return Finding(
        Kind.NO_OPTIONS, side, queue, (key,),
        "the queue's options are gone, and its other keys are not: nobody can publish to it or work on it",
        "create the queue again with its options (create_queue), or start a pool on it",
    )  # fmt: skip


def bad_options(side: int, queue: str, key: str, what: str) -> Finding:
    return Finding(
        Kind.BAD_OPTIONS, side, queue, (key,),
        f"{what}: pools have set the queue aside",
        f"redis-cli HSET {key} OPTION VALUE; they come back to it within seconds",
    )  # fmt: skip


def unreadable(side: int, queue: str, key: str, counters: Sequence[str]) -> Finding:
    return Finding(
        Kind.UNREADABLE, side, queue, tuple(counters),
        "counters that are no numbers: they count as 0 here, and what was counted since is in a counter beside each",
        f"redis-cli HDEL {key} COUNTER, then audit again",
    )  # fmt: skip


def orphaned(side: int, queue: str, held: Sequence[Held], count: int) -> Finding:
    done = "put back to the head of the queue"
    return Finding(
        Kind.ORPHANED, side, queue, tuple(shown(one.worker) for one in held),
        f"{_count(count, 'message')} held by {_count(len(held), 'worker')} not registered: nobody would take it back",
        f"{_REPAIR}: {done}", done, held=tuple(held),
    )  # fmt: skip


def unsupervised(side: int, queue: str, held: Sequence[Held]) -> Finding:
    return Finding(
        Kind.UNSUPERVISED, side, queue, tuple(f"{shown(one.worker)} of {shown(one.supervisor)}" for one in held),
        f"{_count(len(held), 'worker')} registered by a supervisor that is not registered, for a whole lease",
        f"a pool on this queue takes back within its lease what is held; without one, {_REPAIR}",
        "struck off, and what was held put back to the head of the queue", held=tuple(held),
    )  # fmt: skip


def off_balance(side: int, queue: str, difference: int, *, explained: bool) -> Finding:
    vanished = difference > 0
    if explained:
        why = "for as many ids no message was found" if vanished else "as many messages were put back"
        do, done = f"{_REPAIR}: written off, since the reason is known ({why})", f"written off: {why}"
    else:
        do = "find out what happened (eviction? keys deleted or written by hand?), then accept it with --write-off"
        done = ""
    text = "vanished without being handled" if vanished else "there or handled, though never published"
    return Finding(Kind.BOOKS, side, queue, (), f"{_count(abs(difference), 'message')} {text}", do, done)


def judge(sight: Sight) -> list[tuple[Kind, int]]:
    """What is wrong with one id, each with the side it is wrong on. Pure."""
    wrong = []
    for side in (OWN, DEAD):
        if not sight.stored[side] and sight.at(side):
            wrong.append((Kind.HOLLOW, side))
        elif not sight.stored[side] and sight.counted[side]:
            wrong.append((Kind.LEFTOVER, side))
    if all(sight.stored):
        return [*wrong, (Kind.DOUBLED, OWN)]
    for side in (OWN, DEAD):
        times = sum(place.times for place in sight.at(side))
        if sight.stored[side] and times != 1:
            wrong.append((Kind.STRAY if times == 0 else Kind.DOUBLED, side))
    return wrong


def shown(raw: bytes) -> str:
    """An id or a name as text, whatever its bytes; of a long one, the beginning."""
    return raw[:_SHOWN_BYTES].decode("utf-8", "backslashreplace") + ("..." if len(raw) > _SHOWN_BYTES else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
