"""The part of the shared memory in which a worker keeps the progress and the small checkpoint of its running message.

SIGKILL may fall in the middle of a write. So each record has a checksum, and there are two places for checkpoints: a
half of one leaves the one before.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from typing import Any, Mapping, NamedTuple

from bizzmq.protocol.records import MAX_PROGRESS_BYTES, SMALL_BYTES

_HEAD = struct.Struct("=IQ20s140sH")  # checksum of what follows, number, id, queue, length
_CHECKSUM = struct.Struct("=I")
_PROGRESS_BYTES = _HEAD.size + MAX_PROGRESS_BYTES
_CHECKPOINT_BYTES = _HEAD.size + SMALL_BYTES
RECORDS_BYTES = _PROGRESS_BYTES + 2 * _CHECKPOINT_BYTES
"""Room for the records of one slot. Memory that is never written costs nothing."""


class Record(NamedTuple):
    """The progress or the checkpoint of a message.

    Attributes:
        number: higher than that of the record before it.
    """

    number: int
    message_id: str
    queue: str
    data: bytes

    def to_stored(self) -> Mapping[str, Any]:
        """As JSON, for `from_stored`."""
        return {**self._asdict(), "data": self.data.decode("utf-8", "replace")}

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Record:
        """From `to_stored`."""
        return cls(**{**stored, "data": stored["data"].encode("utf-8")})


class RecordsArea:
    """The part of the shared memory in which one worker keeps its records."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._progress_at = at
        self._places = (at + _PROGRESS_BYTES, at + _PROGRESS_BYTES + _CHECKPOINT_BYTES)
        self._number = 0

    def clear(self) -> None:
        """Forget the records of the worker that had this slot."""
        for at in (self._progress_at, *self._places):
            if any(self._memory[at : at + _HEAD.size]):
                self._memory[at : at + _HEAD.size] = bytes(_HEAD.size)
        self._number = 0

    def write_progress(self, queue: str, message_id: str, data: bytes) -> None:
        """Replace the progress."""
        self._number += 1
        self._write(self._progress_at, self._number, queue, message_id, data)

    def write_checkpoint(self, queue: str, message_id: str, number: int, data: bytes) -> None:
        """Write a checkpoint over the one before the last."""
        self._write(self._places[number % 2], number, queue, message_id, data)

    def forget_checkpoint(self) -> None:
        """Both checkpoints count no more."""
        for at in self._places:
            self._memory[at : at + _CHECKSUM.size] = b"\xff" * _CHECKSUM.size

    def progress(self) -> Record | None:
        """The progress; None if there is none, or it is being written."""
        return self._read(self._progress_at)

    def checkpoint(self) -> Record | None:
        """The newest whole checkpoint."""
        found = [record for record in map(self._read, self._places) if record is not None]
        return max(found, key=lambda record: record.number, default=None)

    def _write(self, at: int, number: int, queue: str, message_id: str, data: bytes) -> None:
        record = bytearray(_HEAD.pack(0, number, message_id.encode("ascii"), queue.encode("ascii"), len(data)))
        record += data
        _CHECKSUM.pack_into(record, 0, zlib.crc32(memoryview(record)[_CHECKSUM.size :]))
        self._memory[at : at + len(record)] = bytes(record)

    def _read(self, at: int) -> Record | None:
        area = self._memory[at : at + _CHECKPOINT_BYTES]
        checksum, number, message_id, queue, length = _HEAD.unpack_from(area)
        end = _HEAD.size + length
        if not number or end > len(area) or zlib.crc32(area[_CHECKSUM.size : end]) != checksum:
            return None
        return Record(number, _text(message_id), _text(queue), area[_HEAD.size : end])


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("ascii", "replace")
