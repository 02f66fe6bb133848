"""The size of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from bench.fair.session import Plan


@dataclass(frozen=True)
class Scale:
    """The rounds and sizes of a comparison.

    Attributes:
        arms: the names of the arms.
        depth: the number of waiting messages of the deep queue.
        cpu_rounds: the number of blocks of CPU-bound work.
        cpu_s: the minimum duration of a CPU-bound block.
        cpu_messages: the minimum number of messages of each process in a block. One process may end up to one message
            before the other, which has to be a small part of the block.
        patience_s: the longest wait for a killed worker's message.
        scaled_peers: the arms that are also measured with other numbers of workers.
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
