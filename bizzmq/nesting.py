"""How deep a JSON value is nested, and the limit: what one Python can read, every other one has to be able to read.

The depth of a value is the number of lists and objects around its innermost part: 0 for a number, 1 for `[]`.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Iterable

MAX_DEPTH = 200
"""Levels of a body. Python's own limit depends on its version and on where a value is read: ADR 68."""
SHORT_BYTES = 2 * MAX_DEPTH
"""JSON of at most this many bytes is not too deep: each level takes two."""
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"

_STEPS = bytes(1 if byte in b"[{" else 255 for byte in range(256))
_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def is_deep(data: bytes) -> bool:
    """Whether JSON text is nested more than MAX_DEPTH levels deep, or reading it as JSON might get that far."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(data.split(b'"')[::2]).translate(None, _OTHERS)
    steps = memoryview(brackets.translate(_STEPS)).cast("b")  # +1 and -1
    return max(accumulate(steps), default=0) > MAX_DEPTH


def is_deep_value(value: Any) -> bool:
    """The same of a value, which may contain itself."""
    level: Iterable[Any] = _containers([value])
    for _ in range(MAX_DEPTH):
        level = {id(inner): inner for outer in level for inner in _containers(outer)}.values()
    return bool(level)


def _containers(value: Any) -> Iterable[Any]:
    """The lists and objects that one holds."""
    inner = value.values() if isinstance(value, dict) else value
    return [one for one in inner if isinstance(one, (dict, list, tuple))]
