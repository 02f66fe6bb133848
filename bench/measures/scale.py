"""How large a comparison is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from bench.fair.session import Plan


@dataclass(frozen=True)
class Scale:
    """Rounds and sizes.

    Attributes:
        arms: the names of the arms.
        depth: waiting messages of the deep queue.
        cpu_rounds: blocks of CPU-bound work.
        cpu_s: how long each CPU-bound block lasts at least.
        cpu_messages: and how many messages each process has in it at least. One ends before the other, by a part of
            a message, which has to be small beside all of them.
        patience_s: how long a killed worker's message is waited for.
        scaled_peers: arms that are measured with other numbers of workers, too.
    """

    arms: Sequence[str]
    plan: Plan
    rounds: int
    cpu_rounds: int
    cpu_s: float
    cpu_messages: int
    depth: int
    kills: int
    idle_s: float
    memory_messages: int
    memory_workers: int
    patience_s: float
    scaled_peers: Sequence[str] = ()
