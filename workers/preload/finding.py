"""A finding: one thing that an import has left in the process, and its effect on forked workers."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Tuple


class Effect(Enum):
    """The effect of a finding.

    OFF: workers cannot be forked from this process, so each imports the handler itself. RENEWED: each worker renews it.
    RESTORED: each worker undoes it. HARMLESS: it is fork-safe. DECLARED: `bizzmq.preload.safe` has declared it safe.
    """

    OFF = "preload off"
    RENEWED = "renewed in each worker"
    RESTORED = "restored in each worker"
    HARMLESS = "harmless"
    DECLARED = "declared safe"


class Finding(NamedTuple):
    """One thing that the import has left.

    Attributes:
        kind: thread, file, pipe, socket, memory map, child process, timer, signal handler, random generator, ...
        what: identifies it: a path, an address, a library, names.
        effect: its effect on forked workers.
        why: the reason for the effect, as half a sentence.
        number: the descriptor or the process id; -1 if it has none.
        tasks: the kernel's ids of its threads.
        where: the file and line that have made it; "" if unknown.
    """

    kind: str
    what: str
    effect: Effect
    why: str
    number: int = -1
    tasks: Tuple[int, ...] = ()
    where: str = ""
