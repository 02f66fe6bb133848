"""Annotations as objects: names in text are looked up, and the types inside of other types are found."""

from __future__ import annotations

import dataclasses
import sys
import typing
from typing import Any, Dict, Iterable, Literal, Mapping, Set, TypeVar, Union, get_args, get_origin

from bizzmq.conversion.problems import Unconvertible, named

UNDEFINED = (NameError, AttributeError)
"""What a name raises that is not defined, or not yet."""

_EXTRAS: Dict[str, Any] = {"include_extras": True} if sys.version_info >= (3, 9) else {}
_PYDANTIC = ("pydantic", "pydantic_core", "pydantic_extra_types", "annotated_types")
_PYDANTIC_MARKS = ("__get_pydantic_core_schema__", "__pydantic_validator__")
_MAX_NAMES = 20
"""How many names of one type are followed to the type."""


def resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    """An annotation in which each text is replaced by what it means among the names of a module.

    Raises:
        NameError, AttributeError: a name is not defined.
        Unconvertible: a text is no type.
    """
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    try:
        return typing.get_type_hints(holder, dict(names), **_EXTRAS)["it"]
    except UNDEFINED:
        raise
    except Exception as error:
        raise Unconvertible(f"{type(error).__name__}: {error}{_hint(annotation)}") from error


def _hint(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else ""
    if "|" in text and sys.version_info < (3, 10):
        return "; `X | Y` needs Python 3.10, write Union[X, Y] or Optional[X]"
    if "[" in text and sys.version_info < (3, 9):
        return "; `list[X]` needs Python 3.9, write List[X]"
    return ""


def bare(annotation: Any) -> Any:
    """The type behind NewType, a type alias, and Annotated without constraints of pydantic or msgspec."""
    for _ in range(_MAX_NAMES):
        if hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__metadata__"):
            if any(_library(type(note)) for note in annotation.__metadata__):
                return annotation
            annotation = annotation.__origin__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation
    raise Unconvertible("it is a name of a name of a name, without end")


def origin(annotation: Any) -> Any:
    """The generic type behind an annotation: `list` for `List[int]` and `list`, Union for `X | Y`."""
    found = get_origin(annotation) or annotation
    return Union if getattr(found, "__name__", "") == "UnionType" else found


def libraries(annotation: Any) -> Set[str]:
    """The libraries to which types inside an annotation belong: a subset of `pydantic` and `msgspec`.

    Raises:
        NameError, AttributeError: a name in a class is not defined.
        Unconvertible: there is a type variable outside of a class.
    """
    found, seen, todo = set(), {}, [annotation]
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if isinstance(part, TypeVar):
            raise Unconvertible(f"{named(part)} is a type variable: name the type itself")
        library = _library(part)
        found.update([library] if library else [])
        todo += _inside(part) if library != "pydantic" else ()
    return found


def _library(kind: Any) -> str:
    """`pydantic` or `msgspec` if a class belongs to it, else ""."""
    kind = origin(kind)
    if not isinstance(kind, type):
        return ""
    home = kind.__module__.partition(".")[0]
    if home in _PYDANTIC or any(hasattr(kind, mark) for mark in _PYDANTIC_MARKS):
        return "pydantic"
    return "msgspec" if home == "msgspec" or hasattr(kind, "__struct_fields__") else ""


def _inside(part: Any) -> Iterable[Any]:
    """The types directly inside an annotation: arguments, constraints, and types of a class's fields."""
    bared = bare(part)
    if bared is not part:
        return [bared]
    kind = origin(part)
    if kind is Literal:
        return []
    if hasattr(part, "__metadata__"):
        return [part.__origin__, *map(type, part.__metadata__)]
    fields = [hint for hint in field_types(kind).values() if not isinstance(hint, TypeVar)] if has_fields(kind) else []
    return [*get_args(part), *fields]


def has_fields(kind: Any) -> bool:
    """Whether this is a dataclass, a TypedDict, a NamedTuple, an attrs class or a Struct."""
    return isinstance(kind, type) and (
        dataclasses.is_dataclass(kind)
        or any(hasattr(kind, mark) for mark in ("__struct_fields__", "__attrs_attrs__", "__total__"))
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def field_types(kind: Any) -> Dict[str, Any]:
    """Field name -> its type. Raises NameError or AttributeError for a name that is not defined."""
    try:
        return typing.get_type_hints(kind, **_EXTRAS)
    except UNDEFINED:
        raise
    except Exception as error:
        raise Unconvertible(f"a field of {named(kind)}: {error}") from error
