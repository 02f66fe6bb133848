"""The nesting depth of an argument with objects of classes, before a library follows it in C."""

from __future__ import annotations

from typing import Any, Iterable

from bizzmq.conversion.change import LEAVES, fields
from bizzmq.conversion.problems import TOO_DEEP, Unfit
from bizzmq.protocol import nesting


def refuse_deep(value: Any) -> None:
    """Raise Unfit if a value has more levels than a body may have. It may contain itself.

    msgspec follows a value until Python's recursion limit, which does not end every process well: a program may have
    raised it beyond the stack, and CPython 3.8 aborts when a finalizer runs near it.
    """
    if nesting.is_deep_value(value, _inner):
        raise Unfit(TOO_DEEP)


def _inner(value: Any) -> Iterable[Any]:
    return [part for part in _parts(value) if type(part) not in LEAVES]


def _parts(value: Any) -> Iterable[Any]:
    """What msgspec may follow from a container or an object: also attributes that are no fields."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    kind: Any = type(value)
    names = fields(kind)
    if names is None:
        return ()
    return [*(getattr(value, name, None) for name in names), *getattr(value, "__dict__", {}).values()]
