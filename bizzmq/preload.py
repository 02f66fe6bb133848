"""What the module of a handler says about the things that it makes while it is imported.

A pool imports the handler once and forks its workers from that process, if what the import has left bears it. What does
not is named at the start, and each worker imports by itself (docs/preload.md). `safe` says of one thing that it bears a
fork all the same.
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
    """What was said to be safe.

    Attributes:
        descriptors: number -> what it led to then, as (device, inode): the number may lead elsewhere later.
        threads: identifiers of Python's threads, as of `threading.get_ident`.
        processes: process ids.
        things: by identity; they are kept, so that no other thing gets their identity.
        names: words that name a finding in the report: a library, a path, an address, a thread.
    """

    descriptors: dict[int, tuple[int, int]] = field(default_factory=dict)
    threads: set[int] = field(default_factory=set)
    processes: set[int] = field(default_factory=set)
    things: dict[int, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


declared = Declared()
"""Of this process."""


def safe(thing: T) -> T:
    """Say of a thing that was made while the handler's module was imported: it bears a fork.

    The pool then goes on to fork its workers from the process that has imported the module, if nothing else forbids it.

    Args:
        thing: a file, a socket, or anything else with `fileno()`, or the number of a descriptor; a thread; a process
            of `subprocess` or `multiprocessing`; a random generator; or a text that names a finding as
            `bizzmq-worker --check-preload` shows it: a library, a path, an address, a thread's name.

    Returns:
        The thing.

    Raises:
        ConfigurationError: the thing is of another kind.
    """
    if isinstance(thing, str):
        declared.names.add(thing)
    elif isinstance(thing, threading.Thread):
        if thing.ident is not None:
            declared.threads.add(thing.ident)
    elif is_generator(thing):
        declared.things[id(thing)] = thing
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
            f"bizzmq.preload.safe cannot tell what a {type(thing).__name__} holds: give it a descriptor, a file, a "
            "socket, a thread, a process, a random generator, or the name that bizzmq-worker --check-preload shows"
        ) from None
    return int(number)


def is_generator(thing: Any) -> bool:
    """Whether this is a random generator with a state of its own, which a fork copies."""
    kind = type(thing)
    try:
        families = {(base.__module__, base.__qualname__) for base in kind.__mro__}
    except (AttributeError, TypeError):
        return False
    return bool(families & _GENERATORS) and kind.__name__ != "SystemRandom"
