"""The handler of the Mandelbrot example: it renders one tile of the picture to a file. Pure Python."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any, Mapping, Tuple

Colour = Tuple[float, float, float]

BAILOUT = 1e4  # the square of the radius; large, so that the smooth count is accurate
SHADES = 2048
STOPS: list[tuple[float, Colour]] = [
    (0.00, (10, 14, 52)),
    (0.17, (24, 78, 158)),
    (0.34, (112, 186, 228)),
    (0.48, (252, 247, 226)),
    (0.62, (250, 186, 66)),
    (0.76, (196, 82, 32)),
    (0.88, (84, 20, 48)),
    (1.00, (10, 14, 52)),
]
TURNS, START = 0.62, 0.56  # turns of the palette when the iteration count grows by a factor of e, and the first turn


def gradient() -> list[Colour]:
    """The palette: a cyclic gradient through all stops."""
    shades = []
    for index in range(SHADES):
        place = index / SHADES
        upper = next(i for i, (stop, _) in enumerate(STOPS) if stop > place)
        (low, before), (high, after) = STOPS[upper - 1], STOPS[upper]
        share = (1 - math.cos(math.pi * (place - low) / (high - low))) / 2
        red, green, blue = (a + (b - a) * share for a, b in zip(before, after))
        shades.append((red, green, blue))
    return shades


PALETTE = gradient()
INSIDE: Colour = (6, 7, 22)
JUMP = 50  # the difference between neighbours, of at most 765, above which their edge is smoothed


def escape(c: complex, limit: int) -> float:
    """The number of steps until z = z*z + c escapes, as a smooth number; 0 if it does not escape."""
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
        if not z.real * z.real + z.imag * z.imag < BAILOUT:  # also true for NaN
            z = kept
            for step in range(1, 9):
                z = z * z + c
                size = z.real * z.real + z.imag * z.imag
                if size >= BAILOUT:
                    return done + step + 1 - math.log2(math.log(size) / math.log(BAILOUT))
    return 0.0


def shade(count: float) -> Colour:
    """The colour for a smooth count."""
    if count <= 0:
        return INSIDE
    return PALETTE[int((math.log(count) * TURNS + START) * SHADES) % SHADES]


def pixels(tile: Mapping[str, Any]) -> bytes:
    """The tile as rows of red, green and blue bytes.

    Where the colours of neighbours differ much, a mix with a second sample between them smooths the edge.
    """
    left, top, step, limit = tile["left"], tile["top"], tile["step"], tile["limit"]
    width = tile["width"]
    rgb = bytearray()
    above = [shade(escape(complex(left + step * column, top + step), limit)) for column in range(-1, width)]
    for row in range(tile["height"]):
        y = top - step * row
        this = [shade(escape(complex(left + step * column, y), limit)) for column in range(-1, width)]
        for column in range(1, width + 1):
            own, beside, over = this[column], this[column - 1], above[column]
            if jump(own, beside) + jump(own, over) > JUMP:
                between = shade(escape(complex(left + step * (column - 1.5), y + step / 2), limit))
                own = mix(own, between, mix(own, beside, over))
            rgb.extend(map(int, own))
        above = this
    return bytes(rgb)


def jump(one: Colour, other: Colour) -> float:
    """The difference between two colours."""
    return abs(one[0] - other[0]) + abs(one[1] - other[1]) + abs(one[2] - other[2])


def mix(*colours: Colour) -> Colour:
    """The mean of the colours."""
    red, green, blue = (sum(parts) / len(colours) for parts in zip(*colours))
    return red, green, blue


def render(tile: Mapping[str, Any]) -> None:
    """Render a tile to `tile["file"]`: a line of JSON about the work, then the pixels.

    A tile may be rendered twice if a worker dies. So the file is created atomically, and a second rendering replaces
    it with the same picture.
    """
    target = Path(tile["file"])
    begin_s = time.perf_counter()
    picture = pixels(tile)
    about = {"worker": os.getpid(), "seconds": time.perf_counter() - begin_s}
    own = target.with_name(f".{target.name}.{os.getpid()}")
    own.write_bytes(json.dumps(about).encode("ascii") + b"\n" + picture)
    own.replace(target)
