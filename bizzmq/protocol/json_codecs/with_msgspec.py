"""JSON by msgspec, with the results of the standard library, which handles everything that differs.

msgspec reads less than the standard library (no lone surrogates, no numbers beyond a double), and reads the rest
equally. It writes more (bytes, sets, dates, NaN as null) and writes exponents differently. So it gets only values that
are plainly JSON, for which it writes the same bytes. Property tests with Hypothesis check both.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import msgspec

from bizzmq.protocol import nesting
from bizzmq.protocol.json_codecs import stdlib as json_stdlib

_LEAST = (0, 19)
"""The oldest release that the tests cover."""
if tuple(map(int, msgspec.__version__.split(".")[:2])) < _LEAST:
    raise ImportError(f"msgspec {msgspec.__version__} is older than the oldest tested release")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_are_keys = frozenset((str,)).issuperset
_are_leaves = frozenset((str, int, bool, type(None))).issuperset


def _is_plain(value: Any, levels: int = nesting.MAX_DEPTH) -> bool:
    """Whether a value consists only of JSON's own types, with numbers that are written without an exponent.

    It reads at most `levels` levels: the standard library says what is wrong with a deeper value.
    """
    kind = type(value)
    if kind is dict:
        if not _are_keys(map(type, value)):
            return False
        value = value.values()
    elif kind is float:
        return bool(1e-4 <= abs(value) < 1e16 or value == 0)
    elif kind is not list and kind is not tuple:
        return _are_leaves((kind,))
    return _are_leaves(map(type, value)) or (levels > 1 and all(map(_is_plain, value, repeat(levels - 1))))


def dumps(value: Any) -> bytes:
    """See `json_codec`."""
    try:
        if _is_plain(value):
            return _encode(value)
    except (ValueError, RecursionError):  # a lone surrogate, a number that is too long, no stack left
        pass
    return json_stdlib.dumps(value)


def loads(data: bytes) -> Any:
    """See `json_codec`."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return json_stdlib.loads(data)
