"""A queue's books: what came in must have gone out or be stored.

Each transition that begins or ends a message counts it in the same step, so the difference is the same at every
moment, whatever the load. Other than 0 it tells of messages that came or went without a transition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from bizzmq import totals
from bizzmq.sight import DEAD, OWN
from bizzmq.store import pairs
from bizzmq.survey import Survey

_LOOKS = 3


@dataclass(frozen=True)
class Books:
    """One side's books.

    Attributes:
        came, went: what each transition has counted.
        stored: how many messages are there.
        places: the same, by place; `processing` sums up all workers.
        written_off: by how much they were off before, accepted by the operator. Positive: messages were lost.
        open_missing, open_restored: how many ids without a message were skipped, and how many messages without
            a place were put back, since then: what an audit knows the books to be off by.
        unreadable: counters that are no numbers, or too large.
    """

    queue: str
    came: Mapping[str, int]
    went: Mapping[str, int]
    stored: int
    places: Mapping[str, int]
    written_off: int
    open_missing: int
    open_restored: int
    unreadable: tuple[str, ...]

    @property
    def difference(self) -> int:
        """Messages that are unaccounted for: positive if some have vanished, negative if some came from nowhere."""
        return sum(self.came.values()) - sum(self.went.values()) - self.written_off - self.stored

    def explained(self, hollow: int = 0, stray: int = 0) -> bool:
        """Whether what was skipped and put back, and what is about to be, can be the whole difference."""
        return -self.open_restored - stray <= self.difference <= self.open_missing + hollow


def read(survey: Survey) -> tuple[Books, Books]:
    """The books of both sides, read in one step."""
    own, dead = survey.sides
    held = [(side, key) for key in survey.lists() for side in [survey.side_of(key)]]
    wanted = [
        command
        for k in (own, dead)
        for command in (
            ("HGETALL", k.stats), ("HLEN", k.messages), ("LLEN", k.waiting), ("ZCARD", k.prioritized),
            ("ZCARD", k.delayed), ("LLEN", k.parked),
        )
    ]  # fmt: skip
    replies = survey.broker.look(*wanted, *[("LLEN", key) for _, key in held])
    sizes = list(zip([side for side, _ in held], replies[12:]))
    processing = [sum(size for at, size in sizes if at == side) for side in (OWN, DEAD)]
    read_totals = totals.read(pairs(replies[0])), totals.read(pairs(replies[6]))
    return (
        _books(own.queue, OWN, read_totals, replies[1:6], processing[OWN]),
        _books(dead.queue, DEAD, read_totals, replies[7:12], processing[DEAD]),
    )


def read_settled(survey: Survey) -> tuple[Books, Books]:
    """The books; a difference that a second and a third look do not confirm is none.

    At its memory limit Redis refuses transactions: then the numbers are read one after the other.
    """
    looks = [read(survey)]
    while len(looks) < _LOOKS and any(one.difference for one in looks[-1]):
        looks.append(read(survey))
    return min(looks, key=lambda pair: sum(abs(one.difference) for one in pair))


def write_off(survey: Survey, side: int, books: Books) -> bool:
    """Accept the difference; False if somebody else has accepted one meanwhile."""
    total = books.written_off + books.difference
    return bool(survey.broker.run("write_off", [survey.sides[side].stats], books.written_off, total))


def _books(
    queue: str, side: int, both: tuple[totals.Totals, totals.Totals], sizes: Sequence[int], processing: int
) -> Books:
    own, unreadable = both[side]
    owner = both[OWN].counted
    stored, waiting, prioritized, delayed, parked = sizes
    buried = {"dead-lettered": owner.get("dead_lettered", 0)}
    replayed = {"replayed": owner.get("replayed", 0)}
    published = {"published": own.get("published", 0)}
    ended = {name: own.get(name, 0) for name in ("acked", "discarded", "purged")}
    places = {"waiting": waiting + prioritized, "delayed": delayed, "processing": processing, "parked": parked}
    return Books(
        queue=queue,
        came={**published, **(buried if side == DEAD else replayed)},
        went={**ended, **(replayed if side == DEAD else buried)},
        stored=stored,
        places=places,
        written_off=own.get("written_off", 0),
        open_missing=max(0, own.get("missing", 0) - own.get("missing_settled", 0)),
        open_restored=max(0, own.get("restored", 0) - own.get("restored_settled", 0)),
        unreadable=unreadable,
    )
