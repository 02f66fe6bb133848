"""The handler of the Mandelbrot example: renders one tile of the picture into a file. Pure Python."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any, List, Mapping, Tuple

Colour = Tuple[float, float, float]

BAILOUT = 1e4  # squared; far outside, where the smooth count is smooth
SHADES = 2048
STOPS: List[Tuple[float, Colour]] = [
    (0.00, (10, 14, 52)),
    (0.17, (24, 78, 158)),
    (0.34, (112, 186, 228)),
    (0.48, (252, 247, 226)),
    (0.62, (250, 186, 66)),
    (0.76, (196, 82, 32)),
    (0.88, (84, 20, 48)),
    (1.00, (10, 14, 52)),
]
TURNS, START = 0.62, 0.56  # of the palette, for each e-fold of the iteration count


def gradient() -> List[Colour]:
    """The palette: colours that run into each other through all stops, and around."""
    shades = []
    for index in range(SHADES):
        place = index / SHADES
        upper = next(i for i, (stop, _) in enumerate(STOPS) if stop > place)
        (low, before), (high, after) = STOPS[upper - 1], STOPS[upper]
        mix = (1 - math.cos(math.pi * (place - low) / (high - low))) / 2
        red, green, blue = (a + (b - a) * mix for a, b in zip(before, after))
        shades.append((red, green, blue))
    return shades


PALETTE = gradient()
INSIDE: Colour = (6, 7, 22)


def escape(c: complex, limit: int) -> float:
    """How many steps z = z*z + c needs to get away, as a smooth number; 0 if it stays."""
    z = 0j
    for done in range(0, limit, 8):
        kept = z
        z = z * z + c
        z = z * z + c
        z = z * z + c
        z = z * z + c
        z = z * z + c
        z = z * z + c
        z = z * z + c
        z = z * z + c
        if not z.real * z.real + z.imag * z.imag < BAILOUT:  # it may be NaN by now
            z = kept
            for step in range(1, 9):
                z = z * z + c
                size = z.real * z.real + z.imag * z.imag
                if size >= BAILOUT:
                    return done + step + 1 - math.log2(math.log(size) / math.log(BAILOUT))
    return 0.0


def shade(count: float) -> Colour:
    """The colour of a smooth count."""
    if count <= 0:
        return INSIDE
    return PALETTE[int((math.log(count) * TURNS + START) * SHADES) % SHADES]


def pixels(tile: Mapping[str, Any]) -> bytes:
    """The tile as rows of red, green and blue bytes.

    Where a pixel's colour jumps from its neighbour's, three more samples inside it smooth the jump.
    """
    step, limit = tile["step"], tile["limit"]
    rgb = bytearray()
    above = [INSIDE] * tile["width"]
    for row in range(tile["height"]):
        before = INSIDE
        for column in range(tile["width"]):
            c = complex(tile["left"] + step * column, tile["top"] - step * row)
            colour = shade(escape(c, limit))
            if jump(colour, before) + jump(colour, above[column]) > 60:
                more = [shade(escape(c + step * offset, limit)) for offset in (0.5, 0.5j, 0.5 + 0.5j)]
                smooth = [(a + b + d + e) / 4 for a, b, d, e in zip(colour, *more)]
            else:
                smooth = list(colour)
            rgb.extend(int(part) for part in smooth)
            before = above[column] = colour
    return bytes(rgb)


def jump(one: Colour, other: Colour) -> float:
    """How far two colours are apart."""
    return abs(one[0] - other[0]) + abs(one[1] - other[1]) + abs(one[2] - other[2])


def render(tile: Mapping[str, Any]) -> None:
    """Render a tile into `tile["file"]`: a line of JSON about the work, then the pixels.

    A tile may be rendered twice, should a worker die. So the file appears whole or not at all, and a
    second rendering just replaces it with the same picture.
    """
    target = Path(tile["file"])
    begin_s = time.perf_counter()
    picture = pixels(tile)
    about = {"worker": os.getpid(), "seconds": time.perf_counter() - begin_s}
    own = target.with_name(f".{target.name}.{os.getpid()}")
    own.write_bytes(json.dumps(about).encode("ascii") + b"\n" + picture)
    own.replace(target)
