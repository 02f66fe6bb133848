"""The part of the shared memory in which a worker keeps the results of messages that are finished and not acked yet.

SIGKILL may fall in the middle of a write. So each result has a checksum, and half of one is no result.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from typing import Dict

from bizzmq.protocol.results import KeptResult

RESULTS_BYTES = 64 * 1024
"""Room for the results of one slot. Memory that is never written costs nothing."""
_RESULT = struct.Struct("=I20sQQQQI")  # checksum of what follows, id, time to live, delivery, start, end, length
_CHECKSUM = struct.Struct("=I")


class ResultsArea:
    """The part of the shared memory in which one worker keeps results, one after the other."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at = at
        self._used = 0

    def clear(self) -> None:
        """Forget the results of the worker that had this slot."""
        self._used = 0
        if any(self._memory[self._at : self._at + _RESULT.size]):
            self._memory[self._at : self._at + _RESULT.size] = bytes(_RESULT.size)

    def begin(self) -> None:
        """Forget all results: they have been stored. New ones are written over them."""
        self._used = 0

    def add(self, message_id: bytes, kept: KeptResult) -> bool:
        """Write a result behind the last one; False if there is no room."""
        at, size = self._at + self._used, _RESULT.size + len(kept.result)
        if self._used + size > RESULTS_BYTES:
            return False
        record = bytearray(_RESULT.pack(0, message_id, kept.ttl_ms, *kept[2:], len(kept.result)))
        record += kept.result
        _CHECKSUM.pack_into(record, 0, zlib.crc32(memoryview(record)[_CHECKSUM.size :]))
        self._memory[at : at + size] = bytes(record)
        self._used += size
        return True

    def read(self) -> Dict[str, KeptResult]:
        """All results up to the first that is not whole, by id."""
        area, at = self._memory[self._at : self._at + RESULTS_BYTES], 0
        found: Dict[str, KeptResult] = {}
        while at + _RESULT.size <= RESULTS_BYTES:
            checksum, message_id, ttl_ms, *numbers, length = _RESULT.unpack_from(area, at)
            end = at + _RESULT.size + length
            if end > RESULTS_BYTES or zlib.crc32(area[at + _CHECKSUM.size : end]) != checksum:
                break
            found[message_id.rstrip(b"\0").decode("ascii", "replace")] = KeptResult(
                ttl_ms, area[at + _RESULT.size : end], *numbers
            )
            at = end
        return found
