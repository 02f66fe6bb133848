"""The part of the shared memory in which a worker keeps the output of its running message: a ring of lines.

SIGKILL may fall in the middle of a write. So a write first notes how far it will reach, and last that it is there: what
is read between both are whole lines.
"""

from __future__ import annotations

import mmap
import struct

from bizzmq.protocol.records import OUTPUT_BYTES, last_output

_OWNER = struct.Struct("=20sI")  # id, delivery
_PLACES = struct.Struct("=QQQ")  # where its output begins, where the write that is under way ends, what is written
OUTPUT_AREA_BYTES = 64 + OUTPUT_BYTES
"""Room for the output of one slot. Memory that is never written costs nothing."""
_RING_AT = 64
_PLACES_AT = 32


class OutputArea:
    """The output of one slot's worker. Positions count all that was ever written in the slot."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at, self._places_at, self._ring_at = at, at + _PLACES_AT, at + _RING_AT

    def clear(self) -> None:
        """Forget the output of the worker that had this slot."""
        if any(self._memory[self._at : self._at + _OWNER.size]):
            self._memory[self._at : self._ring_at] = bytes(_RING_AT)

    def write(self, message_id: str, delivery: int, data: bytes) -> None:
        """Add lines of a delivery. Those of another one are forgotten."""
        owner = _OWNER.pack(message_id.encode("ascii"), delivery & 0xFFFFFFFF)
        begin, _, end = _PLACES.unpack_from(self._memory, self._places_at)
        if self._memory[self._at : self._at + _OWNER.size] != owner:
            self._memory[self._at : self._at + _OWNER.size] = bytes(_OWNER.size)
            begin = end
            _PLACES.pack_into(self._memory, self._places_at, begin, end, end)
            self._memory[self._at : self._at + _OWNER.size] = owner
        data = data[-OUTPUT_BYTES:]
        _PLACES.pack_into(self._memory, self._places_at, begin, end + len(data), end)
        at = self._ring_at + end % OUTPUT_BYTES
        room = self._ring_at + OUTPUT_BYTES - at
        self._memory[at : at + len(data[:room])] = data[:room]
        self._memory[self._ring_at : self._ring_at + len(data[room:])] = data[room:]
        _PLACES.pack_into(self._memory, self._places_at, begin, end + len(data), end + len(data))

    def read(self, message_id: str, delivery: int) -> bytes:
        """The end of what a delivery has written; empty if it has written nothing. `delivery` may be modulo 65536."""
        found_id, found_delivery = _OWNER.unpack_from(self._memory, self._at)
        if found_id.rstrip(b"\0") != message_id.encode() or found_delivery & 0xFFFF != delivery & 0xFFFF:
            return b""
        begin, reach, end = _PLACES.unpack_from(self._memory, self._places_at)
        first = max(begin, reach - OUTPUT_BYTES)
        if first >= end or end - first > OUTPUT_BYTES:
            return b""
        ring = self._memory[self._ring_at : self._ring_at + OUTPUT_BYTES]
        at, size = first % OUTPUT_BYTES, end - first
        return last_output((ring[at:] + ring[:at])[:size], is_cut=first > begin)
