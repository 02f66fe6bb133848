"""One thing that an import has left, and what follows from it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Tuple


class Effect(Enum):
    """What follows from a finding.

    OFF: workers cannot be forked from this process, each imports by itself. RENEWED: each worker starts anew with it.
    HARMLESS: it bears a fork. DECLARED: it was said to be safe.
    """

    OFF = "preload off"
    RENEWED = "renewed in each worker"
    HARMLESS = "harmless"
    DECLARED = "declared safe"


class Finding(NamedTuple):
    """What was found.

    Attributes:
        kind: one word or two: thread, file, pipe, socket, memory map, child process, timer, random generator.
        what: which one: a path, an address, a library, names.
        effect: what follows.
        why: half a sentence.
        number: of the descriptor, or the process id, if it has one.
        tasks: the kernel's ids of its threads.
        where: file and line that have made it, if that is known.
    """

    kind: str
    what: str
    effect: Effect
    why: str
    number: int = -1
    tasks: Tuple[int, ...] = ()
    where: str = ""
