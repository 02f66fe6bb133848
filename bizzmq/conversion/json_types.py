"""Annotations that consist of JSON's own types: checked without a library. The only conversion is from int to float."""

from __future__ import annotations

import collections.abc
import inspect
from typing import Any, Callable, Dict, Iterable, List, Literal, Optional, Tuple, Union, get_args

from bizzmq.conversion.hints import bare, origin
from bizzmq.conversion.problems import TOO_DEEP, Unfit, item, mismatch, named, no_json
from bizzmq.protocol import nesting

Convert = Callable[[Any], Any]
"""Returns the converted value, which may be the same object, or raises Unfit."""

_MAX_DEPTH = nesting.MAX_DEPTH - 2
"""The most levels of an argument. The body is an object, and the arguments of `*args` are a list in it."""
_NONE = type(None)
_LEAVES = (str, int, bool, _NONE)
_are_leaves = frozenset(_LEAVES).issuperset
_ANY = (Any, object, inspect.Parameter.empty)
_ABC = collections.abc
_LISTS = (list, _ABC.Sequence, _ABC.MutableSequence, _ABC.Collection, _ABC.Iterable)
_DICTS = (dict, _ABC.Mapping, _ABC.MutableMapping)


def unchanged(value: Any) -> Any:
    """The value itself, which JSON has brought."""
    return value


def checked(value: Any) -> Any:
    """The value itself, if JSON brings it back unchanged. Raises Unfit."""
    _check(value, _MAX_DEPTH)
    return value


def _check(value: Any, levels: int) -> None:
    kind = type(value)
    if kind in _LEAVES:
        return
    if kind is float:
        _finite(value)
    elif kind is list or kind is dict:
        if not levels:
            raise Unfit(TOO_DEEP)
        for key, part in _suspects(value):
            try:
                _check(part, levels - 1)
            except Unfit as unfit:
                raise unfit.within(item(key)) from None
    else:
        raise no_json(value)


def _suspects(value: Any) -> Iterable[Tuple[Any, Any]]:
    """Key and value of each item of a container, or nothing if all items are plain."""
    if type(value) is list:
        return () if _are_leaves(map(type, value)) else enumerate(value)
    for key in value:
        if type(key) is not str:
            raise Unfit(f"has a key that is {named(type(key))}, and JSON has only str keys: annotate it with its type")
    return () if _are_leaves(map(type, value.values())) else value.items()


def with_lists(value: Any) -> Any:
    """A copy of the value with lists in place of tuples, which JSON brings back unchanged. Raises Unfit."""
    return checked(_listed(value, _MAX_DEPTH))


def _listed(value: Any, levels: int) -> Any:
    kind = type(value)
    if kind is not dict and kind is not list and kind is not tuple:
        return value
    if not levels:
        raise Unfit(TOO_DEEP)
    if kind is dict:
        return {key: _listed(part, levels - 1) for key, part in value.items()}
    return [_listed(part, levels - 1) for part in value]


def exact_type(annotation: Any) -> Any:
    """str, int, bool or NoneType if the annotation means exactly this type, else None."""
    if annotation is None:
        return _NONE
    annotation = bare(annotation)
    return next((kind for kind in _LEAVES if kind is annotation), None)


def compiled(annotation: Any, anything: Convert) -> Optional[Convert]:
    """The conversion for an annotation that consists of JSON's types, or None for another one.

    Args:
        anything: the conversion of values that may have any type.
    """
    exact = exact_type(annotation)
    if exact:
        return _exactly(exact)
    annotation = bare(annotation)
    if any(annotation is one for one in _ANY):
        return anything
    if annotation is float:
        return _float
    kind, args = origin(annotation), get_args(annotation)
    if kind is Union:
        return _union(annotation, args, anything)
    if kind is Literal:
        return _literal(args)
    if any(kind is one for one in _LISTS) and len(args) < 2:
        return _list(args[0] if args else Any, anything)
    if any(kind is one for one in _DICTS) and len(args) != 1:
        key, held = args or (str, Any)
        return _dict(key, held, anything)
    return None


def _exactly(kind: type) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise mismatch(kind, value)
        return value

    return convert


def _finite(value: float) -> None:
    if value - value != 0:
        raise Unfit(f"is {value}, which JSON does not have: pass a finite number, or None")


def _float(value: Any) -> float:
    if type(value) is int:
        return _float_of(value)
    if type(value) is not float:
        raise mismatch(float, value)
    _finite(value)
    return value


def _float_of(value: int) -> float:
    try:
        made = float(value)
    except OverflowError:
        made = 0.5
    if made != value:
        raise Unfit("is an int that no float is equal to: annotate it with int")
    return made


def _literal(args: Tuple[Any, ...]) -> Optional[Convert]:
    if not _are_leaves(map(type, args)):
        return None
    allowed = {(type(arg), arg) for arg in args}

    def convert(value: Any) -> Any:
        if type(value) not in _LEAVES or (type(value), value) not in allowed:
            raise Unfit(f"must be one of {', '.join(map(repr, args))}")
        return value

    return convert


def _union(annotation: Any, args: Tuple[Any, ...], anything: Convert) -> Optional[Convert]:
    # float is tried last, because an int fits it, too.
    members = sorted((arg for arg in args if arg is not _NONE), key=lambda arg: bare(arg) is float)
    attempts = [found for found in (compiled(arg, anything) for arg in members) if found]
    if len(attempts) < len(members):
        return None
    has_none = len(members) < len(args)

    def convert(value: Any) -> Any:
        if value is None and has_none:
            return None
        problem = mismatch(annotation, value)
        for attempt in attempts:
            try:
                return attempt(value)
            except Unfit as unfit:
                problem = problem if unfit.problem.startswith("must be") and not unfit.path else unfit
        raise problem

    return convert


def _list(kind: Any, anything: Convert) -> Optional[Convert]:
    convert_item = compiled(kind, anything)
    if not convert_item:
        return None
    are_exact = frozenset((exact_type(kind) or _list,)).issuperset

    def convert(value: Any) -> List[Any]:
        if type(value) is not list:
            raise mismatch(list, value)
        if convert_item is anything:
            anything(value)
            return value
        if are_exact(map(type, value)):
            return value
        return [part(convert_item, held, place) for place, held in enumerate(value)]

    return convert


def part(convert: Convert, value: Any, key: Any) -> Any:
    """The converted item of a container. Raises Unfit that says at which key."""
    try:
        return convert(value)
    except Unfit as unfit:
        raise unfit.within(item(key)) from None


def _dict(key_kind: Any, kind: Any, anything: Convert) -> Optional[Convert]:
    convert_item, is_any = compiled(kind, anything), bare(key_kind) is Any
    convert_key = _exactly(str) if is_any else compiled(key_kind, anything)
    if not convert_key or not convert_item or not (is_any or _is_text(key_kind)):
        return None
    are_text = frozenset((str,) if is_any or exact_type(key_kind) else ()).issuperset
    are_exact = frozenset((exact_type(kind) or _dict,)).issuperset

    def convert(value: Any) -> Dict[str, Any]:
        if type(value) is not dict:
            raise mismatch(dict, value)
        if not are_text(map(type, value)):
            for key in value:
                part(convert_key, key, key)
        if convert_item is anything:
            anything(value)
            return value
        if are_exact(map(type, value.values())):
            return value
        return {key: part(convert_item, held, key) for key, held in value.items()}

    return convert


def _is_text(annotation: Any) -> bool:
    annotation = bare(annotation)
    is_literal = origin(annotation) is Literal
    return annotation is str or (is_literal and all(type(arg) is str for arg in get_args(annotation)))
