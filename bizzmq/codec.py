"""JSON and nothing else: a body is data, and no codec here can execute code."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from bizzmq.errors import DecodeError, EncodeError


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
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
        text = _encode(value)
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:  # lone surrogates survive only as escapes
            return _encode_ascii(value).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
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
            return _decoder.decode(text)  # white space in front, or a true error with a good text
        return value if end == len(text) else _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {error}") from error
