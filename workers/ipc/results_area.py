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
_CHECKSUM = struct.Struct("=I")  # of what follows
_HEAD = struct.Struct("=20s16sI")  # id, time to live, length of the text
_TEXT_AT = _CHECKSUM.size + _HEAD.size


class ResultsArea:
    """The part of the shared memory in which one worker keeps results, one after the other."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at = self._next = at
        self._end = at + RESULTS_BYTES

    def clear(self) -> None:
        """Forget the results of the worker that had this slot."""
        self._next = self._at
        if any(self._memory[self._at : self._at + _TEXT_AT]):
            self._memory[self._at : self._at + _TEXT_AT] = bytes(_TEXT_AT)

    def begin(self) -> None:
        """Forget all results: they have been stored. New ones are written over them."""
        self._next = self._at

    def add(self, message_id: bytes, kept: KeptResult) -> bool:
        """Write a result behind the last one; False if there is no room."""
        ttl_ms, text = kept
        end = self._next + _TEXT_AT + len(text)
        if end > self._end:
            return False
        record = _HEAD.pack(message_id, ttl_ms, len(text)) + text
        self._memory[self._next : end] = _CHECKSUM.pack(zlib.crc32(record)) + record
        self._next = end
        return True

    def read(self) -> Dict[str, KeptResult]:
        """All results up to the first that is not whole, by id."""
        area, at = self._memory[self._at : self._end], 0
        found: Dict[str, KeptResult] = {}
        while at + _TEXT_AT <= RESULTS_BYTES:
            (checksum,) = _CHECKSUM.unpack_from(area, at)
            message_id, ttl_ms, length = _HEAD.unpack_from(area, at + _CHECKSUM.size)
            text_at, end = at + _TEXT_AT, at + _TEXT_AT + length
            if end > RESULTS_BYTES or zlib.crc32(area[at + _CHECKSUM.size : end]) != checksum:
                break
            name = message_id.rstrip(b"\0").decode("ascii", "replace")
            found[name] = KeptResult(ttl_ms.rstrip(b"\0"), area[text_at:end])
            at = end
        return found
