"""Random generators: a fork copies their state, so that all workers would draw the same numbers."""

from __future__ import annotations

import contextlib
import sys
from types import MappingProxyType, ModuleType
from typing import Any, Iterator, Mapping

from bizzmq.preload import Declared, is_generator
from bizzmq.workers.preload.finding import Effect, Finding
from bizzmq.workers.preload.user_code import is_of_the_user

_OS_ENTROPY_BITS = 64
_MOST_ITEMS = 1000


def findings(declared: Declared) -> Iterator[Finding]:
    """The generators of loaded libraries, and those that are kept by the modules of the user."""
    for name in ("numpy.random", "torch"):
        if name in sys.modules and _is_seeded(name):
            yield Finding("random generator", f"of {name}", Effect.RENEWED, "with new entropy")
    seen: set[int] = set()
    for module in _modules_of_the_user():
        for where, thing in _kept_by(module):
            if id(thing) in seen or not is_generator(thing):
                continue
            seen.add(id(thing))
            what = f"{where} ({type(thing).__module__.split('.')[0]}'s {type(thing).__name__})"
            if id(thing) in declared.things or where in declared.names:
                yield Finding("random generator", what, Effect.DECLARED, "")
            elif _has_a_chosen_seed(thing):
                yield Finding(
                    "random generator", what, Effect.HARMLESS, "its seed was chosen: each import gives the same"
                )
            else:
                yield Finding("random generator", what, Effect.OFF, "all workers would draw the same numbers")


def renew() -> None:
    """In a forked worker: new entropy for the generators of loaded libraries. `random` has renewed itself."""
    numpy_random, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    with contextlib.suppress(Exception):  # half imported, or something else of that name
        if numpy_random is not None and _is_seeded("numpy.random"):
            numpy_random.seed()
    with contextlib.suppress(Exception):
        if torch is not None and _is_seeded("torch"):
            torch.seed()


def _is_seeded(name: str) -> bool:
    return callable(getattr(sys.modules.get(name), "seed", None))


def _modules_of_the_user() -> Iterator[ModuleType]:
    """Loaded modules that are neither of the standard library, nor installed, nor ours."""
    modules: list[Any] = list(sys.modules.values())  # libraries put other things there, too
    for module in modules:
        path = _own_of(module).get("__file__")
        if issubclass(type(module), ModuleType) and type(path) is str and is_of_the_user(path):
            yield module


def _kept_by(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module's globals hold, and the attributes of its classes and objects, and small collections: by name."""
    own = _own_of(module)
    module_name = own.get("__name__")
    for name, value in list(own.items()):
        yield f"{module_name}.{name}", value
        for inner, held in _inside(value):
            yield f"{module_name}.{name}{inner}", held


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    if kind in (list, tuple) and len(value) <= _MOST_ITEMS:
        yield from ((f"[{at}]", held) for at, held in enumerate(value))
    elif kind is dict and len(value) <= _MOST_ITEMS:
        yield from ((f"[{key!r}]" if type(key) in (str, int) else "[...]", held) for key, held in list(value.items()))
    elif not issubclass(kind, ModuleType):
        yield from ((f".{name}", held) for name, held in list(_own_of(value).items()))


def _own_of(value: Any) -> Mapping[str, Any]:
    """Its attributes, none of which it computes: a lazy object stays as lazy as it is."""
    try:
        own = (type if issubclass(type(value), type) else object).__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return own if type(own) in (dict, MappingProxyType) else {}


def _has_a_chosen_seed(thing: Any) -> bool:
    """Numpy says from what a generator was seeded: by default 128 bits of the system's entropy."""
    with contextlib.suppress(Exception):
        entropy = thing.bit_generator.seed_seq.entropy
        return not isinstance(entropy, int) or entropy.bit_length() <= _OS_ENTROPY_BITS
    return False
