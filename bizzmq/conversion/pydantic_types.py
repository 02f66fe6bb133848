"""Conversion by pydantic: its models and dataclasses, constraints such as `Field(gt=0)`, and what contains them."""

from __future__ import annotations

from typing import Any, Tuple

import pydantic

from bizzmq.conversion.change import refuse_change
from bizzmq.conversion.hints import UNDEFINED
from bizzmq.conversion.json_types import Convert, with_lists
from bizzmq.conversion.problems import INTERRUPTIONS, Unconvertible, Unfit, item, mismatch, named
from bizzmq.errors import EncodeError
from bizzmq.protocol import json_codec

_LEAST = (2, 10)
"""The oldest release that is tested."""


def compiled(annotation: Any) -> Tuple[Convert, Convert]:
    """The conversions of an annotation to JSON, and back.

    Raises:
        NameError, AttributeError: a name in a class is not defined.
        Unconvertible: pydantic has no conversion for it.
    """
    if tuple(map(int, pydantic.VERSION.split(".")[:2])) < _LEAST:
        raise Unconvertible(f"pydantic {pydantic.VERSION} is older than {'.'.join(map(str, _LEAST))}")
    try:
        adapter: Any = pydantic.TypeAdapter(annotation)
    except UNDEFINED:
        raise
    except Exception as error:
        raise Unconvertible(_first_line(error)) from error
    if not adapter.pydantic_complete:
        raise NameError(f"{named(annotation)} contains a name that is not defined")

    def decode(value: Any) -> Any:
        return _decoded(value, annotation, adapter)

    def encode(value: Any) -> Any:
        made = _encoded(value, annotation, adapter)
        refuse_change(value, decode(made))
        return made

    return encode, decode


def _encoded(value: Any, annotation: Any, adapter: Any) -> Any:
    try:
        return with_lists(adapter.dump_python(value, mode="json", round_trip=True, by_alias=True, warnings="error"))
    except (Unfit, *INTERRUPTIONS):
        raise
    except Exception as error:  # also what the user's own serializers raise
        raise _unfit(value, annotation, adapter, error) from error


def _unfit(value: Any, annotation: Any, adapter: Any, error: Exception) -> Unfit:
    """The problem of a value that cannot be dumped, in the words of the validation if possible."""
    if isinstance(annotation, type) and not isinstance(value, annotation):
        return mismatch(annotation, value)
    try:
        adapter.validate_python(value, strict=True)
    except pydantic.ValidationError as invalid:
        return _problem(invalid, annotation)
    except Exception:  # noqa: BLE001, S110 - the user's own validators
        pass
    if "serializer warnings" in str(error):  # whose text would show the value
        return Unfit(f"must be {named(annotation)}, but parts of it have other types")
    return Unfit(f"is no valid {named(annotation)}: {_first_line(error)}")


def _decoded(value: Any, annotation: Any, adapter: Any) -> Any:
    try:
        return adapter.validate_json(json_codec.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        raise _problem(error, annotation) from error
    except EncodeError as error:
        raise Unfit(f"is not JSON: {error}") from error
    except INTERRUPTIONS:
        raise
    except Exception as error:  # also what the user's own validators raise
        raise Unfit(f"is no valid {named(annotation)}: {_first_line(error)}") from error


def _problem(error: pydantic.ValidationError, annotation: Any) -> Unfit:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = "".join(item(step) if isinstance(step, int) else f".{step}" for step in first["loc"])
    return Unfit(f"is no valid {named(annotation)}: {first['msg']}", path)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
