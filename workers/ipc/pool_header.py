"""The head of the scoreboard's shared memory: what concerns the whole pool, above all whether its workers may claim."""

from __future__ import annotations

import mmap
import struct

from bizzmq.consumer.hooks import ClaimGate
from bizzmq.utils import clock

MAX_QUEUES = 200
"""How many queues of one pool have a place in the header."""
_PAUSED_AT = 0
WATCHED_AT = 1
HAS_RECORDS_AT = 2
DRAINING_AT = 3
_QUEUES_AT = 8
_SECONDS = struct.Struct("=d")
HEADER_BYTES = _QUEUES_AT + MAX_QUEUES * _SECONDS.size


class PoolGate(ClaimGate):
    """Whether workers may claim: set by the supervisor, read at each claim without a system call."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def set_paused(self, paused: bool) -> None:
        """Stop all workers from claiming, or let them go on."""
        self._memory[_PAUSED_AT] = int(paused)

    @property
    def paused(self) -> bool:
        """Whether no worker may claim."""
        return bool(self._memory[_PAUSED_AT])

    def closed_until_s(self, index: int) -> float:
        """Until when no worker claims from a queue; may be in the past. Monotonic seconds."""
        (until_s,) = _SECONDS.unpack_from(self._memory, _QUEUES_AT + index * _SECONDS.size)
        return float(until_s)

    def close_queue(self, index: int, until_s: float) -> None:
        """Stop all workers from claiming from a queue until a moment. Monotonic seconds."""
        _SECONDS.pack_into(self._memory, _QUEUES_AT + index * _SECONDS.size, until_s)

    def is_open(self, queue_index: int) -> bool:
        if self._memory[_PAUSED_AT]:
            return False
        (until_s,) = _SECONDS.unpack_from(self._memory, _QUEUES_AT + queue_index * _SECONDS.size)
        return bool(until_s <= 0.0 or clock.monotonic() >= until_s)
