"""Paths of SVG: series of numbers as areas and lines, in a box that is HEIGHT high and one wide for each number."""

from __future__ import annotations

from typing import List, Optional, Sequence

HEIGHT = 100.0
Numbers = Sequence[Optional[float]]


def area(numbers: Numbers, most: float) -> str:
    """The area below steps, as the attribute `d` of a path; "" if all numbers are 0 or None."""
    if most <= 0 or not any(numbers):
        return ""
    parts: List[str] = []
    before, run = "", 0
    for number in numbers:
        at = _height(number or 0.0, most)
        if at != before and run:
            parts.append(f"h{run}")
            run = 0
        if at != before:
            parts.append(f"V{at}")
            before = at
        run += 1
    return f"M0 {HEIGHT:g}{''.join(parts)}h{run}V{HEIGHT:g}z"


def line(numbers: Numbers, most: float) -> str:
    """A line through the middle of each step, with a gap where a number is missing. Lone numbers are short strokes."""
    parts: List[str] = []
    is_drawn = False
    for index, number in enumerate(numbers):
        if number is None or most <= 0:
            is_drawn = False
            continue
        at = _height(number, most)
        parts.append(f"L{index + 0.5:g} {at}" if is_drawn else f"M{index + 0.1:g} {at}h.4")
        is_drawn = True
    return "".join(parts)


def _height(number: float, most: float) -> str:
    return f"{round(HEIGHT - HEIGHT * min(1.0, max(0.0, number / most)), 1):g}"
