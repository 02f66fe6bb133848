"""A queue's totals as Redis has them: which can be read, and which somebody has spoilt."""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple

SPARE = ":spare"
"""What the scripts count on under, beside a counter that cannot count any more (common.lua)."""

_WHOLE = re.compile(rb"-?[0-9]{1,16}\Z")


class Totals(NamedTuple):
    """The counters of one queue.

    Attributes:
        counted: name -> total. What a spare has counted is in it; a spoilt counter counts as 0.
        spoilt: the names of counters that are no whole numbers of at most 16 digits, sorted.
    """

    counted: dict[str, int]
    spoilt: tuple[str, ...]


def read(flat: Iterable[tuple[bytes, bytes]]) -> Totals:
    """The fields of a `stats` hash."""
    counted: dict[str, int] = {}
    spoilt: set[str] = set()
    for raw_name, value in flat:
        stored = raw_name.decode("utf-8", "backslashreplace")
        name = stored[: -len(SPARE)] if stored.endswith(SPARE) else stored
        if _WHOLE.match(value):
            counted[name] = counted.get(name, 0) + int(value)
        else:
            spoilt.add(stored)
    return Totals(counted, tuple(sorted(spoilt)))
