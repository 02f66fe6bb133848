"""Declarations of a handler's module about objects that are safe to fork.

A pool imports the handler once and forks its workers from that process, if everything that the import has created
survives a fork. Otherwise the pool reports what does not, and each worker imports the handler itself
(docs/operations/preload.md). `safe` declares that an object survives a fork nevertheless.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bizzmq.errors import ConfigurationError

T = TypeVar("T")

_GENERATORS = {
    ("random", "Random"),
    ("numpy.random._generator", "Generator"),
    ("numpy.random.mtrand", "RandomState"),
    ("torch._C", "Generator"),
    ("torch", "Generator"),
}


@dataclass
class Declared:
    """What was declared safe.

    Attributes:
        descriptors: descriptor -> (device, inode) at that time, because the descriptor may be reused later.
        threads: identifiers of Python threads, as `threading.get_ident` returns them.
        processes: process ids.
        objects: id -> object. The reference keeps the id from being reused.
        names: names of findings in the report: of a library, a path, an address, or a thread.
    """

    descriptors: dict[int, tuple[int, int]] = field(default_factory=dict)
    threads: set[int] = field(default_factory=set)
    processes: set[int] = field(default_factory=set)
    objects: dict[int, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


declared = Declared()
"""The declarations of this process."""


def safe(thing: T) -> T:
    """Declare that an object that the handler's module creates on import survives a fork.

    The pool then forks its workers from the process that has imported the module, unless something else prevents it.

    Args:
        thing: a file, a socket or any other object with `fileno()`, or a descriptor; a thread; a process of
            `subprocess` or `multiprocessing`; a random generator; or the name of a finding as
            `bizzmq-worker --check-preload` shows it: of a library, a path, an address, or a thread.

    Returns:
        The object itself.

    Raises:
        ConfigurationError: the object is of another kind.
    """
    if isinstance(thing, str):
        declared.names.add(thing)
    elif isinstance(thing, threading.Thread):
        if thing.ident is not None:
            declared.threads.add(thing.ident)
    elif is_generator(thing):
        declared.objects[id(thing)] = thing
    elif isinstance(getattr(thing, "pid", None), int):
        declared.processes.add(thing.pid)  # type: ignore[attr-defined]
    else:
        number = _descriptor_of(thing)
        found = os.fstat(number)
        declared.descriptors[number] = (found.st_dev, found.st_ino)
    return thing


def _descriptor_of(thing: Any) -> int:
    try:
        number = thing if isinstance(thing, int) and not isinstance(thing, bool) else thing.fileno()
        os.fstat(number)
    except (AttributeError, TypeError, ValueError, OSError):
        raise ConfigurationError(
            f"bizzmq.preload.safe does not accept a {type(thing).__name__}: pass a descriptor, a file, a socket, a "
            "thread, a process, a random generator, or the name that bizzmq-worker --check-preload shows"
        ) from None
    return int(number)


def is_generator(thing: Any) -> bool:
    """Whether this is a random generator with its own state, which a fork would copy."""
    kind = type(thing)
    try:
        families = {(base.__module__, base.__qualname__) for base in kind.__mro__}
    except (AttributeError, TypeError):
        return False
    return bool(families & _GENERATORS) and kind.__name__ != "SystemRandom"
