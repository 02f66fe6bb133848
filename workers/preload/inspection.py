"""Looks at a process before and after it has imported the handler's module."""

from __future__ import annotations

import dataclasses
import sys
from typing import Callable, Collection, List

from bizzmq.preload import declared
from bizzmq.workers.preload import descriptors, mappings, processes, randomness, threads
from bizzmq.workers.preload.finding import Effect, Finding

IS_POSSIBLE = sys.platform.startswith("linux")


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What there was before the import.

    Args:
        own: asked for the descriptors of BizzMQ's clients, which open anew in a forked child.
    """

    own: Callable[[], Collection[int]]
    held: Collection[descriptors.Descriptor] = dataclasses.field(
        default_factory=lambda: descriptors.held() if IS_POSSIBLE else frozenset()
    )
    memory: mappings.Memory = dataclasses.field(
        default_factory=lambda: mappings.mapped() if IS_POSSIBLE else mappings.Memory(frozenset(), frozenset())
    )
    children: Collection[int] = dataclasses.field(default_factory=processes.children)
    threads: Collection[int] = dataclasses.field(
        default_factory=lambda: frozenset(threads.tasks()) if IS_POSSIBLE else frozenset()
    )

    def findings(self) -> List[Finding]:
        """What the import has left, what forbids a fork first. Forks once."""
        if not IS_POSSIBLE:
            found = [*threads.python_findings(declared), *randomness.findings(declared)]
        else:
            now = mappings.mapped()
            found = [
                *threads.findings(self.threads, declared),
                *descriptors.findings(self.held, declared, self.own, now.inodes),
                *mappings.findings(self.memory, now, declared),
                *processes.findings(self.children, declared),
                *randomness.findings(declared),
            ]
        return sorted(found, key=lambda finding: list(Effect).index(finding.effect))
