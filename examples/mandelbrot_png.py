"""A PNG file from rows of pixels, with only the standard library."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Iterable

TRUE_COLOUR = 2
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_png(path: Path, width: int, height: int, rows: Iterable[bytes]) -> None:
    """Write a picture with 8 bits per channel; each row has `width` times red, green and blue.

    The format: https://www.w3.org/TR/png/, sections 5 and 11.2.
    """
    unfiltered = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, TRUE_COLOUR, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(unfiltered, 9)), _chunk(b"IEND", b"")]
    path.write_bytes(_SIGNATURE + b"".join(parts))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
