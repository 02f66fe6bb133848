"""The accounts of a queue: every message that came in has gone out or is stored.

Each transition that begins or ends a message counts it in the same step. So under any load the difference is the same
at every moment. A difference other than 0 means that messages came or went without a transition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from bizzmq.audit.locations import DEAD, OWN
from bizzmq.audit.scan import QueueScan
from bizzmq.broker.replies import pairs
from bizzmq.protocol import totals

_READS = 3


@dataclass(frozen=True)
class Accounts:
    """The accounts of one side.

    Attributes:
        came, went: counts of each transition.
        stored: number of stored messages.
        places: the same number by place; `processing` is the sum of all workers.
        written_off: earlier difference that the operator has accepted. Positive if messages were lost.
        open_missing, open_restored: ids without a message that were skipped since then, and messages without a
            location that were requeued: differences with a known reason.
        unreadable: names of counters that are not numbers or too large.
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
        """Number of unaccounted messages: positive if messages vanished, negative if they came from nowhere."""
        return sum(self.came.values()) - sum(self.went.values()) - self.written_off - self.stored

    def explained(self, missing_body: int = 0, unplaced: int = 0) -> bool:
        """Whether the skipped and requeued ids, with those that a repair would add, explain the difference."""
        return -self.open_restored - unplaced <= self.difference <= self.open_missing + missing_body


def read(scan: QueueScan) -> tuple[Accounts, Accounts]:
    """The accounts of both sides, read in one step."""
    own, dead = scan.sides
    held = [(side, key) for key in scan.lists() for side in [scan.side_of(key)]]
    wanted = [
        command
        for k in (own, dead)
        for command in (
            ("HGETALL", k.stats), ("HLEN", k.messages), ("LLEN", k.waiting), ("ZCARD", k.prioritized),
            ("ZCARD", k.delayed), ("LLEN", k.parked), ("ZCARD", k.suspended),
        )
    ]  # fmt: skip
    replies = scan.broker.read_together(*wanted, *[("LLEN", key) for _, key in held])
    sizes = list(zip([side for side, _ in held], replies[14:]))
    processing = [sum(size for at, size in sizes if at == side) for side in (OWN, DEAD)]
    read_totals = totals.read(pairs(replies[0])), totals.read(pairs(replies[7]))
    return (
        _accounts(own.queue, OWN, read_totals, replies[1:7], processing[OWN]),
        _accounts(dead.queue, DEAD, read_totals, replies[8:14], processing[DEAD]),
    )


def read_settled(scan: QueueScan) -> tuple[Accounts, Accounts]:
    """The accounts, with a difference only if a second and a third read confirm it.

    Redis at its memory limit refuses transactions, so the numbers are read one after the other and may not match.
    """
    reads = [read(scan)]
    while len(reads) < _READS and any(one.difference for one in reads[-1]):
        reads.append(read(scan))
    return min(reads, key=lambda pair: sum(abs(one.difference) for one in pair))


def write_off(scan: QueueScan, side: int, accounts: Accounts) -> bool:
    """Accept the difference. Returns False if another client has accepted one since."""
    total = accounts.written_off + accounts.difference
    return scan.broker.write_off(scan.sides[side].queue, accounts.written_off, total)


def _accounts(
    queue: str, side: int, both: tuple[totals.Totals, totals.Totals], sizes: Sequence[int], processing: int
) -> Accounts:
    own, unreadable = both[side]
    owner = both[OWN].counted
    stored, waiting, prioritized, delayed, parked, suspended = sizes
    dead_lettered = {"dead-lettered": owner.get("dead_lettered", 0)}
    replayed = {"replayed": owner.get("replayed", 0)}
    published = {"published": own.get("published", 0)}
    names = ("acked", "discarded", "purged", "cancelled", "expired", "dropped")
    ended = {name: own.get(name, 0) for name in names}
    places = {"waiting": waiting + prioritized, "delayed": delayed, "processing": processing, "parked": parked}
    if suspended:
        places["suspended"] = suspended
    return Accounts(
        queue=queue,
        came={**published, **(dead_lettered if side == DEAD else replayed)},
        went={**ended, **(replayed if side == DEAD else dead_lettered)},
        stored=stored,
        places=places,
        written_off=own.get("written_off", 0),
        open_missing=max(0, own.get("missing", 0) - own.get("missing_settled", 0)),
        open_restored=max(0, own.get("restored", 0) - own.get("restored_settled", 0)),
        unreadable=unreadable,
    )
