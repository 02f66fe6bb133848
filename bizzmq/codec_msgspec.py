"""JSON by msgspec, with the results of the standard library: what the two would treat differently is left to that.

msgspec reads less than the standard library does (no lone surrogates, no numbers beyond a double), and what both read
is equal. It writes more (bytes, sets, dates, NaN as null), and exponents in another way, so it is given what is plainly
JSON only, and writes the same bytes. Both is tested with whatever Hypothesis thinks of.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bizzmq import codec_standard

_LEAST = (0, 19)
"""The oldest release that is tested."""
if tuple(map(int, msgspec.__version__.split(".")[:2])) < _LEAST:
    raise ImportError(f"msgspec {msgspec.__version__} is older than what is tested")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_are_keys = frozenset((str,)).issuperset
_are_leaves = frozenset((str, int, bool, type(None))).issuperset


def _is_plain(value: Any) -> bool:
    """Whether it is made of the very types that JSON has, and of numbers that are written without an exponent."""
    kind = type(value)
    if kind is dict:
        if not _are_keys(map(type, value)):
            return False
        value = value.values()
    elif kind is float:
        return bool(1e-4 <= abs(value) < 1e16 or value == 0)
    elif kind is not list and kind is not tuple:
        return _are_leaves((kind,))
    return _are_leaves(map(type, value)) or all(map(_is_plain, value))


def dumps(value: Any) -> bytes:
    """See `codec`."""
    try:
        if _is_plain(value):
            return _encode(value)
    except (ValueError, RecursionError):  # a lone surrogate, an endless number, a cycle
        pass
    return codec_standard.dumps(value)


def loads(data: bytes) -> Any:
    """See `codec`."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return codec_standard.loads(data)
