"""JSON by the standard library: what a body may be, and what it is read as, whatever else is installed."""

from __future__ import annotations

import json
from json import encoder
from typing import Any, Callable, Iterable, NoReturn

from bizzmq import nesting
from bizzmq.errors import DecodeError, EncodeError


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _encoder(*, ascii_only: bool) -> Callable[[Any, int], Iterable[str]]:
    """The standard library's encoding of a value, in pieces; the number is 0.

    Its own `encode` makes a new C encoder for each call, which costs more than a small body does. One that was made
    without a memory of what it is inside of can be kept: a cycle ends in a RecursionError then.
    """
    standard = json.JSONEncoder(ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"))
    quote = getattr(encoder, "c_encode_basestring_ascii" if ascii_only else "c_encode_basestring", None)
    try:
        made = encoder.c_make_encoder(None, standard.default, quote, None, ":", ",", False, False, False)  # type: ignore[attr-defined]
        made([], 0)
    except (AttributeError, TypeError):  # none of it is documented, and another Python may have another one
        return lambda value, _: [standard.encode(value)]
    encode: Callable[[Any, int], Iterable[str]] = made
    return encode


_encode, _encode_ascii = _encoder(ascii_only=False), _encoder(ascii_only=True)
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_scan = _decoder.raw_decode


def _check_keys(value: Any) -> None:
    """Refuse keys that JSON would turn into strings, so that a body arrives as it was published."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise EncodeError(f"a message's keys must be strings, not {type(key).__name__}: {key!r}")
            if isinstance(item, (dict, list, tuple)):
                _check_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, (dict, list, tuple)):
                _check_keys(item)


def dumps(value: Any) -> bytes:
    """A JSON value as UTF-8 bytes without white space.

    Raises:
        EncodeError: it is not a JSON value (NaN, a set, a key that is no string, a cycle, ...).
    """
    try:
        _check_keys(value)
        text = "".join(_encode(value, 0))
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:  # lone surrogates survive only as escapes
            return "".join(_encode_ascii(value, 0)).encode("ascii")
    except RecursionError as error:
        raise EncodeError(_too_deep(value)) from error
    except (TypeError, ValueError) as error:
        if isinstance(error, EncodeError):
            raise
        raise EncodeError(f"the message is not JSON: {error}") from error


def _too_deep(value: Any) -> str:
    if nesting.is_deep_value(value):
        return f"the message is {nesting.TOO_DEEP}, or contains itself"
    return "the message cannot be written: its publisher's own calls have used up Python's stack"


def loads(data: bytes) -> Any:
    """The value of JSON bytes.

    Raises:
        DecodeError: the bytes are not one JSON document.
    """
    try:
        text = data.decode("utf-8")
        try:
            value, end = _scan(text)
        except ValueError:
            return _decoder.decode(text)  # white space in front, or a true error with a good text
        return value if end == len(text) else _decoder.decode(text)
    except RecursionError as error:
        raise DecodeError("nested too deep to be read") from error
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}") from error
