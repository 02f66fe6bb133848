"""The flame graph of a message: what it executed while it ran for long, as boxes whose widths are shares of time."""

from __future__ import annotations

import zlib
from typing import Dict, List, NamedTuple, Optional, Tuple

from bizzmq.protocol.profile import Frame, FunctionShare, KeptProfile

_LEAST_SHARE = 0.003
"""Narrower boxes are left out: nobody can see them."""
_MOST_BOXES, _MOST_ROWS, _MOST_FUNCTIONS = 300, 60, 12
_ROW, _COLOURS = 20, 5


class Box(NamedTuple):
    """A function, as called by the functions above it.

    Attributes:
        x, width: percent.
        y: pixels from the top.
        colour: the number of its file's colour.
        about: its place and its share, for the pointer.
    """

    x: float
    y: int
    width: float
    colour: int
    name: str
    about: str


class FlameGraph(NamedTuple):
    """What a page needs to draw it, and to say it in words.

    Attributes:
        boxes: callers first.
        height: pixels.
        sampled_s: how long the message was sampled.
        functions: those that were executed most often.
        kept: what it is made of.
    """

    boxes: List[Box]
    height: int
    sampled_s: float
    functions: List[FunctionShare]
    kept: KeptProfile


_Calls = Dict[Tuple[str, str], "_Node"]


class _Node:
    """A function with the functions that it has called there."""

    def __init__(self) -> None:
        self.count = 0
        self.calls: _Calls = {}


def flame_graph(kept: Optional[KeptProfile]) -> Optional[FlameGraph]:
    """The flame graph of what was kept; None if there is none."""
    if kept is None or not kept.profile.count:
        return None
    root = _Node()
    for stack, count in kept.profile.samples.items():
        _add(root, stack, count)
    boxes = _boxes(root)
    height = max((box.y for box in boxes), default=0) + _ROW
    sampled_s = root.count * kept.profile.interval_s
    return FlameGraph(boxes, height, sampled_s, kept.profile.functions()[:_MOST_FUNCTIONS], kept)


def _add(root: _Node, stack: Tuple[Frame, ...], count: int) -> None:
    node = root
    node.count += count
    for frame in stack[:_MOST_ROWS]:
        node = node.calls.setdefault(frame[:2], _Node())
        node.count += count


def _boxes(root: _Node) -> List[Box]:
    """The boxes row by row, so that the bound cuts the deepest ones."""
    found: List[Box] = []
    row: List[Tuple[float, _Node]] = [(0.0, root)]
    for depth in range(_MOST_ROWS):
        below: List[Tuple[float, _Node]] = []
        for left, node in row:
            x = left
            for (name, file), call in sorted(node.calls.items()):
                width = 100 * call.count / root.count
                if width >= 100 * _LEAST_SHARE and len(found) < _MOST_BOXES:
                    colour = zlib.crc32(file.encode("utf-8", "replace")) % _COLOURS
                    about = f"{name} {file} {width:.1f} %"
                    found.append(Box(round(x, 3), depth * _ROW, round(width, 3), colour, name, about))
                    below.append((x, call))
                x += width
        row = below
    return found
