"""Conversion of bodies that contain values other than JSON's, by a function of the user."""

from __future__ import annotations

from typing import Any, Callable

from bizzmq.errors import EncodeError
from bizzmq.protocol import nesting
from bizzmq.protocol.envelope import encode_body
from bizzmq.validation import checks

Encode = Callable[[Any], Any]
_PLAIN = (str, int, float, type(None))


def body_encoder(encode: Encode | None) -> Callable[[Any], bytes]:
    """The function that makes JSON of a body; `encode` is used only if the body is not plain JSON."""

    def encoded(body: Any) -> bytes:
        try:
            return encode_body(body)
        except EncodeError:
            if encode is None:
                raise
            return encode_body(converted(body, encode))

    return encoded


def converted(value: Any, encode: Encode, depth: int = 0) -> Any:
    """A copy of the value in which `encode` has replaced everything that JSON cannot express, recursively.

    Raises:
        EncodeError: `encode` raises, returns its argument, or returns the same key twice; or the result is nested too
            deeply.
    """
    if depth > nesting.MAX_DEPTH:
        raise EncodeError(f"the message is {nesting.TOO_DEEP}")
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return _object(value, encode, depth)
    if isinstance(value, (list, tuple)):
        return [converted(held, encode, depth + 1) for held in value]
    return converted(_made(value, encode), encode, depth + 1)


def _object(value: dict[Any, Any], encode: Encode, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, held in value.items():
        name = _key(key, encode)
        if name in made:
            raise EncodeError(f"encode returns the same key for two keys: {checks.shown(name)}")
        made[name] = converted(held, encode, depth + 1)
    return made


def _key(key: Any, encode: Encode) -> str:
    made = key if isinstance(key, str) else _made(key, encode)
    if not isinstance(made, str):
        raise EncodeError(
            f"encode returns a {type(made).__name__} for the key {checks.shown(key)}: it must return a text"
        )
    return made


def _made(value: Any, encode: Encode) -> Any:
    try:
        made = encode(value)
    except Exception as error:
        raise EncodeError(f"encode cannot convert a {type(value).__name__}: {error}") from error
    if made is value:
        raise EncodeError(f"encode returns a {type(value).__name__} unchanged: it must return plain JSON")
    return made
