"""The Mandelbrot example renders the correct picture with its own pool and with a running one."""

from __future__ import annotations

import re
import signal
import struct
import zlib
from pathlib import Path
from types import ModuleType
from typing import Callable

import pytest

from tests.support.program import StartProgram

WIDTH, HEIGHT, TILES = 160, 100, 160


def test_the_picture_is_rendered_by_a_pool_of_its_own(
    run: StartProgram, tmp_path: Path, example: Callable[[str], ModuleType]
) -> None:
    program = run(
        "mandelbrot.py", f"--width={WIDTH}", f"--output={tmp_path / 'picture.png'}", "--workers=2",
        XDG_STATE_HOME=str(tmp_path),
    )  # fmt: skip

    program.succeeds()

    assert tiles_of(program.output()) == TILES
    assert likeness(read_png(tmp_path / "picture.png"), whole_picture(example)) > 0.98


@pytest.mark.nightly
def test_the_picture_is_rendered_by_a_running_pool(
    run: StartProgram, url: str, tmp_path: Path, example: Callable[[str], ModuleType]
) -> None:
    pool = run("-m", "bizzmq.workers", "-q", "mandelbrot", "-c", "2", "mandelbrot_tile:render", BIZZMQ_REDIS_URL=url)
    path = tmp_path / "picture.png"
    program = run("mandelbrot.py", f"--width={WIDTH}", f"--output={path}", f"--redis-url={url}")

    program.succeeds()
    pool.stop(signal.SIGTERM)

    assert tiles_of(program.output()) == TILES
    assert likeness(read_png(path), whole_picture(example)) > 0.98


def tiles_of(output: str) -> int:
    """The total number of tiles that the output says the workers have rendered."""
    reported = re.search(r"workers +(\d), which have rendered ([\d +]+) tiles", output)
    assert reported, output
    counts = [int(count) for count in reported[2].split("+")]
    assert len(counts) == int(reported[1])
    return sum(counts)


def whole_picture(example: Callable[[str], ModuleType]) -> bytes:
    """The same picture as one tile."""
    first = example("mandelbrot").tiles(WIDTH, HEIGHT, Path())[0]
    whole: bytes = example("mandelbrot_tile").pixels({**first, "width": WIDTH, "height": HEIGHT})
    assert len({whole[i : i + 3] for i in range(0, len(whole), 3)}) > 500  # colours
    return whole


def likeness(one: bytes, other: bytes) -> float:
    """The share of equal pixels; seams between tiles would cost several per cent."""
    assert len(one) == len(other) == 3 * WIDTH * HEIGHT
    return sum(one[i : i + 3] == other[i : i + 3] for i in range(0, len(one), 3)) / (WIDTH * HEIGHT)


def read_png(path: Path) -> bytes:
    """The pixels of a picture without filters; checks signature, chunks and checksums."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    lines = zlib.decompress(chunks[b"IDAT"])
    stride = 1 + 3 * WIDTH
    return b"".join(lines[y * stride + 1 : (y + 1) * stride] for y in range(HEIGHT))
