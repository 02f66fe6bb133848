"""Bodies with values that JSON lacks, made plain by a function of the user's."""

from __future__ import annotations

from typing import Any, Callable

from bizzmq import nesting
from bizzmq.errors import EncodeError

Encode = Callable[[Any], Any]
_PLAIN = (str, int, float, type(None))


def converted(value: Any, encode: Encode, depth: int = 0) -> Any:
    """The value with everything replaced that JSON lacks, by what `encode` makes of it; that may hold more of it.

    Raises:
        EncodeError: `encode` raises, gives the same thing back, or it is nested too deep.
    """
    if depth > nesting.MAX_DEPTH:
        raise EncodeError(f"the message is {nesting.TOO_DEEP}")
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {_key(key, encode): converted(held, encode, depth + 1) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [converted(held, encode, depth + 1) for held in value]
    return converted(_made(value, encode), encode, depth + 1)


def _key(key: Any, encode: Encode) -> Any:
    return key if isinstance(key, str) else _made(key, encode)


def _made(value: Any, encode: Encode) -> Any:
    try:
        made = encode(value)
    except Exception as error:
        raise EncodeError(f"encode cannot convert a {type(value).__name__}: {error}") from error
    if made is value:
        raise EncodeError(f"encode gives a {type(value).__name__} back as it is: it has to make plain JSON of it")
    return made
