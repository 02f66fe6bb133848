"""The totals of a queue as stored in Redis, and which of them are unreadable."""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple

SPARE = ":spare"
"""The suffix of a spare counter, which scripts use if a counter is unreadable (totals.lua)."""

_WHOLE = re.compile(rb"-?[0-9]{1,16}\Z")


class Totals(NamedTuple):
    """The totals of one queue.

    Attributes:
        counted: name -> total, including the spare counter; an unreadable counter counts as 0.
        unreadable: the names of counters that are not whole numbers of at most 16 digits, sorted.
    """

    counted: dict[str, int]
    unreadable: tuple[str, ...]


def read(flat: Iterable[tuple[bytes, bytes]]) -> Totals:
    """The totals from the fields of a `stats` hash."""
    counted: dict[str, int] = {}
    unreadable: set[str] = set()
    for raw_name, value in flat:
        stored = raw_name.decode("utf-8", "backslashreplace")
        name = stored[: -len(SPARE)] if stored.endswith(SPARE) else stored
        if _WHOLE.match(value):
            counted[name] = counted.get(name, 0) + int(value)
        else:
            unreadable.add(stored)
    return Totals(counted, tuple(sorted(unreadable)))
