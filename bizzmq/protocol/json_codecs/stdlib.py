"""JSON by the standard library. It defines which bodies are valid and how they are decoded."""

from __future__ import annotations

import json
import math
from json import encoder
from typing import Any, Callable, Iterable, NoReturn

from bizzmq.errors import DecodeError, EncodeError
from bizzmq.protocol import nesting


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    """A number with a fraction or an exponent. Beyond a double, as in 1e999, it is infinite and not JSON."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _encoder(*, ascii_only: bool) -> Callable[[Any, int], Iterable[str]]:
    """A function that encodes a value in pieces; its second argument is 0.

    `JSONEncoder.encode` creates a new C encoder for each call, which costs more than encoding a small body. A C encoder
    without markers of the containers that it is in can be reused. It does not detect cycles: `_check` does.
    """
    standard = json.JSONEncoder(ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"))
    quote = getattr(encoder, "c_encode_basestring_ascii" if ascii_only else "c_encode_basestring", None)
    try:
        made = encoder.c_make_encoder(None, standard.default, quote, None, ":", ",", False, False, False)  # type: ignore[attr-defined]
        made([], 0)
    except (AttributeError, TypeError):  # it is not documented, and other Pythons may differ
        return lambda value, _: [standard.encode(value)]
    encode: Callable[[Any, int], Iterable[str]] = made
    return encode


_encode, _encode_ascii = _encoder(ascii_only=False), _encoder(ascii_only=True)
_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
_scan = _decoder.raw_decode
_TOO_DEEP = f"the message is {nesting.TOO_DEEP}, or contains itself"


def _check(value: Any, levels: int = nesting.MAX_DEPTH) -> None:
    """Refuse what the C encoder would change, or would not survive.

    It turns keys into strings, and a handler would not get the body that was published. It follows nested containers
    until Python's recursion limit, which does not end every process well: a program may have raised it beyond the
    stack, and CPython 3.8 aborts when a finalizer runs near it.
    """
    if not levels:
        raise EncodeError(_TOO_DEEP)
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise EncodeError(f"a message's keys must be strings, not {type(key).__name__}: {key!r}")
            if isinstance(item, (dict, list, tuple)):
                _check(item, levels - 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, (dict, list, tuple)):
                _check(item, levels - 1)


def dumps(value: Any) -> bytes:
    """A JSON value as UTF-8 bytes without white space.

    Raises:
        EncodeError: it is not a JSON value (NaN, a set, a key that is not a string, ...), or it is nested more than 200
            levels deep.
    """
    try:
        _check(value)
        text = "".join(_encode(value, 0))
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:  # a lone surrogate can only be written as an escape
            return "".join(_encode_ascii(value, 0)).encode("ascii")
    except RecursionError as error:
        raise EncodeError("the message cannot be encoded: the publisher's calls have used up Python's stack") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, EncodeError):
            raise
        raise EncodeError(f"the message is not JSON: {error}") from error


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
            return _decoder.decode(text)  # leading white space, or an error, for which this has a good text
        return value if end == len(text) else _decoder.decode(text)
    except RecursionError as error:
        raise DecodeError("nested too deeply to be decoded") from error
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}") from error
