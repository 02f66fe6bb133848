"""The inspection of a process: compares its state before and after the import of the handler's module."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Callable, Collection, List

from bizzmq.preload import declared
from bizzmq.workers.preload import descriptors, mappings, patches, processes, randomness, signal_handlers, threads
from bizzmq.workers.preload.finding import Effect, Finding

IS_POSSIBLE = sys.platform.startswith("linux") and os.path.isdir(descriptors.TABLE)  # noqa: PTH112 - called at each start
_UNSEEN = Finding("system", "no /proc", Effect.OFF, "most of what an import leaves is not visible")


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The state of this process before the import.

    Args:
        own: returns the descriptors of BizzMQ's clients, which a forked child opens anew.
    """

    own: Callable[[], Collection[int]]
    opened: Collection[descriptors.Descriptor] = dataclasses.field(default_factory=descriptors.open_now)
    memory: mappings.Memory = dataclasses.field(default_factory=mappings.mapped)
    children: Collection[int] = dataclasses.field(default_factory=processes.children)
    signals: signal_handlers.Signals = dataclasses.field(default_factory=signal_handlers.installed)
    threads: Collection[int] = dataclasses.field(default_factory=lambda: frozenset(threads.tasks()))

    def findings(self) -> List[Finding]:
        """What the import has left, with what prevents a fork first. Forks once, unless there are monkey patches."""
        patched = list(patches.findings())
        if patched:
            return patched
        if not IS_POSSIBLE:
            found = [_UNSEEN, *threads.python_findings(declared), *randomness.findings(declared)]
        else:
            now, children, opened = mappings.mapped(), processes.children(), descriptors.open_now()
            signals = signal_handlers.installed()
            fork = threads.TrialFork()
            generators = list(randomness.findings(declared))  # takes the longest, while the trial fork ends
            found = [
                *threads.findings(self.threads, declared, fork),
                *descriptors.findings(opened - set(self.opened), declared, self.own, now.inodes),
                *mappings.findings(self.memory, now, declared),
                *processes.findings(children - set(self.children), declared),
                *signal_handlers.findings(self.signals, signals),
                *generators,
            ]
        return sorted(found, key=lambda finding: list(Effect).index(finding.effect))
