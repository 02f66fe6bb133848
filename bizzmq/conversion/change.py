"""The comparison of a value with what JSON has made of it."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Callable, Iterable, Optional, Tuple
from uuid import UUID

from bizzmq.conversion.problems import Unfit, item, with_article

_MISSING: Any = object()
LEAVES = frozenset((str, int, bool, float, type(None), bytes, date, timedelta, UUID, Decimal))
"""Types whose equal values are the same in all that matters."""
_Part = Tuple[Any, Any, Any]
"""The key of a part, the part of the given value, and the part of what has come back."""


def refuse_change(given: Any, back: Any) -> None:
    """Raise Unfit unless a value that has come back equals the given one in value and type, in all its parts.

    An int that has come back as an equal float is accepted, since a parameter of type float takes an int.
    """
    kind, other = type(given), type(back)
    if kind is not other:
        if kind is int and other is float and given == back:
            return
        raise Unfit(f"is {with_article(kind)}, which would arrive as {with_article(other)}: pass {with_article(other)}")
    if kind in LEAVES and _is_equal(given, back):
        return
    step, parts = _parts(given, back)
    for key, one, another in parts:
        if one is _MISSING or another is _MISSING:
            raise Unfit("would not arrive as it is", step(key))
        try:
            refuse_change(one, another)
        except Unfit as unfit:
            raise unfit.within(step(key)) from None


def _compare_leaves(given: Any, back: Any) -> None:
    if isinstance(given, (datetime, time)):
        if given.utcoffset() != back.utcoffset():
            raise Unfit("has an offset from UTC with seconds, which would be lost: pass it in UTC")
        if given.tzinfo is None and given.fold != back.fold:
            raise Unfit("has a fold, which would be lost: pass it with a time zone")
    if not _is_equal(given, back):
        raise Unfit(f"would not arrive as an equal {type(given).__qualname__}")


def _is_equal(given: Any, back: Any) -> bool:
    try:
        return bool(given == back)
    except Exception:  # noqa: BLE001 - a signaling NaN, and `__eq__` of user classes
        return False


def _parts(given: Any, back: Any) -> Tuple[Callable[[Any], str], Iterable[_Part]]:
    """The parts of a container or of an object with fields, and what makes a step of a part's key.

    Anything else has no parts, and is compared here.
    """
    if isinstance(given, dict):
        return item, _items(given, back)
    if isinstance(given, (set, frozenset)):
        return _no_step, _keys(given, back)
    if isinstance(given, (list, tuple)):
        return item, zip_longest(range(max(len(given), len(back))), given, back, fillvalue=_MISSING)
    kind: Any = type(given)
    names = fields(kind)
    if names is None:
        _compare_leaves(given, back)
        return item, ()
    return _field_step, _field_parts(names, given, back)


def _no_step(_: Any) -> str:
    return ""


def _field_step(name: str) -> str:
    return f".{name}"


def _field_parts(names: Iterable[str], given: Any, back: Any) -> Iterable[_Part]:
    for name in names:
        one, another = getattr(given, name, _MISSING), getattr(back, name, _MISSING)
        if one is not _MISSING or another is not _MISSING:
            yield name, one, another
    extra, other_extra = (getattr(model, "__pydantic_extra__", None) for model in (given, back))
    if extra or other_extra:
        yield from _items(extra or {}, other_extra or {})


def _items(given: Any, back: Any) -> Iterable[_Part]:
    for key, one, another in _keys(given, back):
        yield key, one, another
        yield key, given[one], back[another]


def _keys(given: Any, back: Any) -> Iterable[_Part]:
    """Each key or element, with the equal one of the other side."""
    others = {key: key for key in back}
    yield from ((key, key, others.pop(key, _MISSING)) for key in given)
    yield from ((key, _MISSING, key) for key in others)


@lru_cache(maxsize=500)
def fields(kind: Any) -> Optional[Iterable[str]]:
    """The names of the fields of a class; None if it has no fields in a sense that is known here."""
    if hasattr(kind, "__struct_fields__"):
        names: Iterable[str] = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(kind))
    elif hasattr(kind, "__attrs_attrs__"):
        names = tuple(attribute.name for attribute in kind.__attrs_attrs__)
    elif hasattr(kind, "__pydantic_validator__"):
        names = tuple(kind.model_fields)
    else:
        return None
    return names
