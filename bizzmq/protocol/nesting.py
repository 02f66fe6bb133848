"""The nesting depth of JSON values, and its limit, so that every Python can decode what another one has encoded.

The depth of a value is the number of lists and objects around its innermost part: 0 for a number, 1 for `[]`.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Callable, Iterable

MAX_DEPTH = 200
"""The most levels of a body. Python's own limit depends on its version and on the depth of the call: ADR 68."""
SHORT_BYTES = 2 * MAX_DEPTH
"""JSON of at most this length is not too deep, because each level takes two bytes."""
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"

_STEPS = bytes(1 if byte in b"[{" else 255 for byte in range(256))
_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def is_deep(data: bytes, levels: int = MAX_DEPTH) -> bool:
    """Whether JSON text is nested deeper than `levels`. For invalid JSON, the deepest possible reading."""
    if data.count(b"[") + data.count(b"{") <= levels:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(data.split(b'"')[::2]).translate(None, _OTHERS)
    steps = memoryview(brackets.translate(_STEPS)).cast("b")  # +1 and -1
    return max(accumulate(steps), default=0) > levels


def _containers(value: Any) -> Iterable[Any]:
    """The lists and objects directly inside a list or an object."""
    inner = value.values() if isinstance(value, dict) else value
    return [one for one in inner if isinstance(one, (dict, list, tuple))]


def is_deep_value(value: Any, parts: Callable[[Any], Iterable[Any]] = _containers) -> bool:
    """Whether a value is nested more than MAX_DEPTH levels deep. It may contain itself.

    Args:
        parts: returns what is directly inside a list, an object, or one of its own results, and may have an inside.
    """
    level = parts([value])
    for _ in range(MAX_DEPTH):
        level = {id(inner): inner for outer in level for inner in parts(outer)}.values()
        if not level:
            return False
    return True
