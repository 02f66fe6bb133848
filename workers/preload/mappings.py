"""Memory that is shared for writing. A lock in it is shared by all workers, and stays locked if its owner is killed."""

from __future__ import annotations

import contextlib
from typing import Collection, Iterator, NamedTuple

from bizzmq.preload import Declared
from bizzmq.workers.preload.finding import Effect, Finding

_SEMAPHORE = "/dev/shm/sem."  # noqa: S108 - where sem_open creates them
_DEVICES = ("/dev/nvidia", "/dev/dri/", "/dev/kfd")


class Mapping(NamedTuple):
    """One area of memory that is shared for writing."""

    address: str
    path: str


class Memory(NamedTuple):
    """The memory map of this process.

    Attributes:
        shared: the areas that are shared for writing.
        inodes: the inodes of all mapped files.
    """

    shared: frozenset[Mapping]
    inodes: frozenset[int]


def mapped() -> Memory:
    """The current memory map; empty where the kernel does not show it."""
    shared, inodes = set(), set()
    with contextlib.suppress(OSError), open("/proc/self/maps", "rb") as maps:  # noqa: PTH123 - read line by line
        for line in maps:
            address, rights, _, _, inode, *path = line.split(None, 5)
            if inode != b"0":
                inodes.add(int(inode))
            if rights[1:2] == b"w" and rights[3:4] == b"s":
                name = path[0].strip().decode("utf-8", "backslashreplace") if path else "anonymous"
                shared.add(Mapping(address.decode(), name))
    return Memory(frozenset(shared), frozenset(inodes))


def findings(before: Memory, now: Memory, declared: Declared) -> Iterator[Finding]:
    """The findings about areas that are not in `before`."""
    seen: set[str] = set()
    for mapping in sorted(now.shared - before.shared, key=lambda one: one.path):
        path = mapping.path.replace(" (deleted)", "")
        if path in seen or not _is_of_interest(path, before.shared):
            continue
        seen.add(path)
        if path in declared.names:
            yield Finding("shared memory", path, Effect.DECLARED, "")
        elif path.startswith(_SEMAPHORE):
            why = "a worker that is killed while it holds this lock would stop all others forever"
            yield Finding("shared lock", path, Effect.OFF, why)
        elif path.startswith(_DEVICES):
            yield Finding("device", path, Effect.OFF, "the device knows this process only")
        else:
            yield Finding("shared memory", path, Effect.OFF, "all workers would write to it")


def _is_of_interest(path: str, before: Collection[Mapping]) -> bool:
    """Whether the import has made this area: not if an area of this path has only grown or moved."""
    return not any(mapping.path.replace(" (deleted)", "") == path for mapping in before) or path == "/dev/zero"
