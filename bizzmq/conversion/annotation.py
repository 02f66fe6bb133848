"""The conversion of an annotation: to JSON when a task is published, and back when it runs."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Tuple

from bizzmq.conversion import json_types
from bizzmq.conversion.hints import libraries
from bizzmq.conversion.json_types import Convert
from bizzmq.conversion.problems import Unconvertible, Unfit, named


class Conversion(NamedTuple):
    """Both directions of a conversion. Each raises Unfit for a value that does not fit the annotation.

    Attributes:
        encode: returns the JSON value for an argument. It also raises Unfit if that would come back changed.
        decode: returns the argument for a JSON value.
        exact: the type whose values need neither a conversion nor a check; None if there is no such type.
    """

    encode: Convert
    decode: Convert
    exact: Any = None


def conversion(annotation: Any) -> Conversion:
    """The conversion for an annotation. With `inspect.Parameter.empty` it is that of any JSON value.

    Raises:
        NameError, AttributeError: a name in a class is not defined, or not yet.
        Unconvertible: there is none, or it needs a library that is not installed.
    """
    try:
        encode = json_types.compiled(annotation, json_types.checked)
        decode = json_types.compiled(annotation, json_types.unchanged)
        if encode and decode:
            return Conversion(encode, decode, json_types.exact_type(annotation))
        return Conversion(*_compiled_by_library(annotation))
    except RecursionError:
        raise Unconvertible("it refers to itself") from None


def with_none(inner: Conversion) -> Conversion:
    """A conversion that accepts None, too."""

    def either(convert: Convert) -> Convert:
        return lambda value: None if value is None else convert(value)

    return Conversion(either(inner.encode), either(inner.decode))


def fits(found: Conversion, value: Any) -> bool:
    """Whether a value can be encoded."""
    try:
        found.encode(value)
    except Unfit:
        return False
    return True


def _compiled_by_library(annotation: Any) -> Tuple[Convert, Convert]:
    wanted = libraries(annotation)
    if len(wanted) > 1:
        raise Unconvertible("it mixes types of pydantic and of msgspec; use one of them")
    library = "pydantic" if "pydantic" in wanted else "msgspec"
    try:
        module = importlib.import_module(f"bizzmq.conversion.{library}_types")
    except ImportError as error:
        raise Unconvertible(f"{named(annotation)} needs {library}; install the extra `typed` ({error})") from None
    made: Tuple[Convert, Convert] = module.compiled(annotation)
    return made
