"""Random generators: a fork copies their state, so all workers would draw the same numbers."""

from __future__ import annotations

import contextlib
import sys
from types import MappingProxyType, ModuleType
from typing import Any, Iterator, Mapping, Tuple

from bizzmq.preload import Declared, is_generator
from bizzmq.workers.preload.finding import Effect, Finding
from bizzmq.workers.preload.user_code import is_of_the_user

_OS_ENTROPY_BITS = 64
_MAX_ITEMS = 1000
_Place = Tuple[str, str, Any]
"""The name of a global; "." for an attribute of it or "[]" for an item of it; the name or index of that."""


def findings(declared: Declared) -> Iterator[Finding]:
    """The findings about generators of loaded libraries and of the user's modules."""
    for name in ("numpy.random", "torch"):
        if name in sys.modules and _is_seeded(name):
            yield Finding("random generator", f"of {name}", Effect.RENEWED, "with new entropy")
    seen: set[int] = set()
    kinds: dict[type, bool] = {}
    for module in _modules_of_the_user():
        for place, thing in _values_of(module):
            kind = type(thing)
            if kind not in kinds:
                kinds[kind] = is_generator(thing)
            if not kinds[kind] or id(thing) in seen:
                continue
            seen.add(id(thing))
            where = _name_of(module, *place)
            what = f"{where} ({type(thing).__module__.split('.')[0]}'s {type(thing).__name__})"
            if id(thing) in declared.objects or where in declared.names:
                yield Finding("random generator", what, Effect.DECLARED, "")
            elif _has_fixed_seed(thing):
                yield Finding(
                    "random generator", what, Effect.HARMLESS, "its seed is fixed: each import draws the same numbers"
                )
            else:
                yield Finding("random generator", what, Effect.OFF, "all workers would draw the same numbers")


def renew() -> None:
    """Seed the generators of loaded libraries with new entropy, in a forked worker. `random` does that by itself."""
    numpy_random, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    with contextlib.suppress(Exception):  # a half-imported module, or another one of that name
        if numpy_random is not None and _is_seeded("numpy.random"):
            numpy_random.seed()
    with contextlib.suppress(Exception):
        if torch is not None and _is_seeded("torch"):
            torch.seed()


def _is_seeded(name: str) -> bool:
    return callable(getattr(sys.modules.get(name), "seed", None))


def _modules_of_the_user() -> Iterator[ModuleType]:
    """The loaded modules that do not belong to the standard library, an installed package or BizzMQ."""
    modules: list[Any] = list(sys.modules.values())  # some libraries put other objects there
    for module in modules:
        path = _attributes(module).get("__file__")
        if issubclass(type(module), ModuleType) and type(path) is str and is_of_the_user(path):
            yield module


def _values_of(module: ModuleType) -> Iterator[tuple[_Place, Any]]:
    """The globals of a module, their attributes, and the items of those that are small collections."""
    for name, value in list(_attributes(module).items()):
        yield (name, "", None), value
        kind = type(value)
        if kind in (list, tuple) and len(value) <= _MAX_ITEMS:
            yield from (((name, "[]", at), held) for at, held in enumerate(value))
        elif kind is dict and len(value) <= _MAX_ITEMS:
            yield from (((name, "[]", key), held) for key, held in list(value.items()))
        elif not issubclass(kind, ModuleType):
            yield from (((name, ".", inner), held) for inner, held in list(_attributes(value).items()))


def _name_of(module: ModuleType, name: str, how: str, inner: Any) -> str:
    """The Python expression of a place, such as `tasks.config[3]`."""
    text = f"{_attributes(module).get('__name__')}.{name}"
    if how == ".":
        return f"{text}.{inner}"
    if how == "[]":
        return f"{text}[{inner!r}]" if type(inner) in (str, int) else f"{text}[...]"
    return text


def _attributes(value: Any) -> Mapping[str, Any]:
    """The attributes of an object. Computes none of them, so that a lazy object does not load itself."""
    try:
        own = (type if issubclass(type(value), type) else object).__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return own if type(own) in (dict, MappingProxyType) else {}


def _has_fixed_seed(thing: Any) -> bool:
    """Whether numpy reports a seed other than the default, which is 128 bits of the system's entropy."""
    with contextlib.suppress(Exception):
        entropy = thing.bit_generator.seed_seq.entropy
        return not isinstance(entropy, int) or entropy.bit_length() <= _OS_ENTROPY_BITS
    return False
