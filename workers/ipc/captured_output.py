"""What the workers of a pool write to stdout and stderr: a file in memory for each slot, older than its worker.

A worker's descriptors 1 and 2 are this file, also in its children and in C code. So a write is a copy of the bytes: it
never waits for a reader, and SIGKILL loses none. Another process, the relay, copies what is new to the pool's own
stdout and stderr. It frees the memory of what it has copied, except for the last 64 kB.

Where stdout and stderr of the pool are one file, such as a terminal, a slot has one file for both, so that their order
stays. Otherwise it has two.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from typing import List, Sequence, Tuple

from bizzmq.errors import ConfigurationError
from bizzmq.protocol.records import OUTPUT_BYTES, last_output

_MARK = struct.Struct("=20sIQQ")  # id, delivery, where its output begins in each file
_RELAYED = struct.Struct("=Q")
CAPTURE_AREA_BYTES = 64
"""Room in the shared memory for the marks of one slot."""
_RELAYED_AT = 44
_PREFIX = b"\x1f"
_KEEP_SIZE_AND_PUNCH_HOLE = 3
_PAGE = mmap.PAGESIZE


class CapturedFile:
    """The file of one stream, or of both, of one slot. Writes of all processes are appended."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("bizzmq-output", os.MFD_CLOEXEC)
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, fcntl.fcntl(self.descriptor, fcntl.F_GETFL) | os.O_APPEND)
        self._freed = 0

    def end(self) -> int:
        """How many bytes were ever written."""
        return os.lseek(self.descriptor, 0, os.SEEK_END)

    def read(self, start: int, size: int) -> bytes:
        """Some bytes from a position on."""
        return os.pread(self.descriptor, size, start)

    def free(self, until: int) -> None:
        """Free the memory of the bytes before a position. Raises OSError."""
        until -= until % _PAGE
        if until <= self._freed:
            return
        size = ctypes.c_long(until - self._freed)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.fallocate(self.descriptor, _KEEP_SIZE_AND_PUNCH_HOLE, ctypes.c_long(self._freed), size) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._freed = until


class CapturedOutput:
    """The files of one slot, and in shared memory where the output of its running message begins."""

    def __init__(self, memory: mmap.mmap, at: int, files: Sequence[CapturedFile]) -> None:
        self._memory, self._at = memory, at
        self.files = files

    @property
    def of_streams(self) -> Tuple[int, int]:
        """The descriptors that stand for stdout and stderr."""
        return self.files[0].descriptor, self.files[-1].descriptor

    def begin(self, message_id: str, delivery: int) -> None:
        """What comes from now on belongs to this delivery."""
        ends = self._ends()
        _MARK.pack_into(self._memory, self._at, message_id.encode("ascii"), delivery & 0xFFFFFFFF, *ends)

    def placed(self, lines: bytes) -> bytes:
        """Lines with their place among what was captured, for `merged`."""
        prefix = b"%d,%d" % self._ends() + _PREFIX
        return b"".join(prefix + line for line in lines.splitlines(keepends=True))

    def merged(self, message_id: str, delivery: int, lines: bytes) -> bytes:
        """The captured output of a delivery, and the placed lines between."""
        marked_id, marked_delivery, *begins = _MARK.unpack_from(self._memory, self._at)
        ends = self._ends()
        if marked_id.rstrip(b"\0") != message_id.encode() or marked_delivery & 0xFFFF != delivery & 0xFFFF:
            begins = list(ends)  # it has only logged
        pieces: List[bytes] = []
        for line in lines.splitlines(keepends=True):
            place, _, text = line.partition(_PREFIX)
            places = [int(number) for number in place.split(b",")]
            pieces += self._pieces(begins, places)
            pieces.append(text)
            begins = [max(pair) for pair in zip(begins, places)]
        pieces += self._pieces(begins, ends)
        return last_output(b"".join(pieces))

    def relayed(self, index: int) -> int:
        """Up to where a file was copied to the stream of the pool."""
        (position,) = _RELAYED.unpack_from(self._memory, self._at + _RELAYED_AT + index * _RELAYED.size)
        return int(position)

    def set_relayed(self, index: int, position: int) -> None:
        """Note up to where it was copied."""
        _RELAYED.pack_into(self._memory, self._at + _RELAYED_AT + index * _RELAYED.size, position)

    def _ends(self) -> Tuple[int, int]:
        first = self.files[0].end()
        return first, self.files[1].end() if len(self.files) > 1 else 0

    def _pieces(self, begins: Sequence[int], ends: Sequence[int]) -> List[bytes]:
        """What was written to each file between two places, as far as it is still there."""
        found = []
        for file, begin, end in zip(self.files, begins, ends):
            start = max(begin, file.end() - OUTPUT_BYTES)
            if start < end:
                found.append(last_output(file.read(start, end - start), is_cut=start > begin))
        return found


def capture_files(slots: int) -> List[List[CapturedFile]]:
    """The files of each slot.

    Raises:
        ConfigurationError: this system has no such files, or not enough descriptors.
    """
    streams = 1 if _is_one_file(1, 2) else 2
    try:
        files = [[CapturedFile() for _ in range(streams)] for _ in range(slots)]
        probe = CapturedFile()
        os.write(probe.descriptor, bytes(_PAGE))
        probe.free(_PAGE)
        os.close(probe.descriptor)
    except (AttributeError, OSError) as error:
        raise ConfigurationError(f"capture_output cannot be used on this system: {error}") from None
    return files


def _is_one_file(first: int, second: int) -> bool:
    try:
        return os.path.sameopenfile(first, second)
    except OSError:
        return False
