"""Conversion by msgspec: dates, UUID, Decimal, Enum, Path, bytes, tuples, sets, dataclasses, TypedDict, Struct, ..."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import Any, Iterator, Tuple

import msgspec

from bizzmq.conversion.change import refuse_change
from bizzmq.conversion.depth import refuse_deep
from bizzmq.conversion.hints import UNDEFINED
from bizzmq.conversion.json_types import Convert, with_lists
from bizzmq.conversion.problems import INTERRUPTIONS, TOO_DEEP, Unconvertible, Unfit, mismatch, named

_FIELD = "it"
_EXPECTED = re.compile(r"Expected `(.*)`, got `(.*)`")

_SHOWN_VALUE = re.compile("^(Invalid (?:enum )?value) .*", re.DOTALL)
"""A text that shows the value, which may be a secret."""


def compiled(annotation: Any) -> Tuple[Convert, Convert]:
    """The conversions of an annotation to JSON, and back.

    Raises:
        NameError, AttributeError: a name in a class is not defined.
        Unconvertible: msgspec has no conversion for it.
    """
    try:
        msgspec.json.Decoder(annotation, dec_hook=_object)
        unknown = next(_unknown(msgspec.inspect.type_info(annotation)), None)
        # A class of its own, since msgspec remembers what it knows about a class, but not about `Tuple[int, int]`.
        holder = msgspec.defstruct("Holder", [(_FIELD, annotation)])
    except UNDEFINED:
        raise
    except Exception as error:
        raise Unconvertible(str(error)) from error
    if unknown:
        raise Unconvertible(f"{named(unknown)} cannot be converted to JSON; pass its parts, or a dataclass with them")

    def decode(value: Any) -> Any:
        return _decoded(value, annotation, holder)

    def encode(value: Any) -> Any:
        made = _encoded(value, annotation)
        refuse_change(value, decode(made))
        return made

    return encode, decode


def _unknown(info: Any) -> Iterator[type]:
    """The classes inside a type, as `msgspec.inspect` describes it, for which there is no conversion."""
    seen, todo = {}, [info]
    while todo:
        part = todo.pop()
        if isinstance(part, (list, tuple)):
            todo += part
        elif isinstance(part, msgspec.Struct) and id(part) not in seen:
            seen[id(part)] = part
            todo += [getattr(part, name) for name in part.__struct_fields__]
            if isinstance(part, msgspec.inspect.CustomType) and not _is_path(part.cls):
                yield part.cls


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _text(value: Any) -> str:
    if not isinstance(value, PurePath):
        raise NotImplementedError  # msgspec says which type it does not know
    return os.fspath(value)


def _object(kind: Any, value: Any) -> Any:
    if not isinstance(value, str):
        raise msgspec.ValidationError(f"Expected `{named(kind)}`, got `{type(value).__name__}`")
    return kind(value)


def _encoded(value: Any, annotation: Any) -> Any:
    try:
        refuse_deep(value)
        return with_lists(msgspec.to_builtins(value, str_keys=True, enc_hook=_text))
    except (Unfit, *INTERRUPTIONS):
        raise
    except RecursionError:
        raise Unfit(TOO_DEEP) from None
    except NotImplementedError:
        raise mismatch(annotation, value) from None
    except Exception as error:  # also what the user's own classes raise
        raise Unfit(f"must be {named(annotation)}: {error}") from error


def _decoded(value: Any, annotation: Any, holder: Any) -> Any:
    try:
        return msgspec.convert({_FIELD: value}, holder, str_keys=True, dec_hook=_object).it
    except INTERRUPTIONS:
        raise
    except RecursionError:
        raise Unfit(TOO_DEEP) from None
    except Exception as error:  # also what the user's own classes raise, and SystemError of msgspec 0.18
        raise _problem(error, annotation) from error


def _problem(error: Exception, annotation: Any) -> Unfit:
    """The problem in msgspec's words, `Expected `int`, got `str` - at `$.it[0]``, in those of this package."""
    text, _, place = str(error).partition(" - at `")
    text = _SHOWN_VALUE.sub(r"\1", text)
    _, _, path = place.rstrip("`").partition(f"$.{_FIELD}")
    found = _EXPECTED.fullmatch(text)
    if not found:
        return Unfit(f"is no valid {named(annotation)}: {text}", path)
    return Unfit(f"must be {found[1] if path else named(annotation)}, not {found[2]}", path)
