"""What the bench knows of a peer: how it is installed, started and asked, its settings and its promise."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Sequence, Tuple

AT_LEAST_ONCE = "at least once"
AT_MOST_ONCE = "at most once"
PYTHON, NODE, RUBY = "Python", "Node", "Ruby"
OWN = "BizzMQ"
PROCESSES = 2
"""Workers of every arm, unless something else is said."""
_COUNT = re.compile(r"(?<=--)((?:processes|workers|concurrency)=)2$")


@dataclass(frozen=True)
class Peer:
    """One arm of a comparison.

    Attributes:
        package: what is installed, and whose version is told.
        environment: the name of its environment, and of its file of pinned requirements; "" for BizzMQ's own.
        guarantee: what holds when a worker is killed while a handler runs, with these settings.
        settings: those that are not the default, and why.
        workers: the commands that together are two worker processes; `{python}` and `{bin}` are its environment's,
            `{url}` the server's.
        publisher: the command of its publisher.
        left: Redis commands whose replies are all 0 once everything is acked.
        recovery: what its default does for a message whose worker was killed, as its source says.
        source: where that is written.
        hidden: a folder beside its adapter with modules that stand before installed ones.
    """

    name: str
    package: str
    environment: str
    guarantee: str
    settings: str
    workers: Sequence[Sequence[str]]
    publisher: Sequence[str]
    left: Sequence[Sequence[str]]
    recovery: str = ""
    source: str = ""
    language: str = PYTHON
    minimum: Tuple[int, int] = (3, 9)
    hidden: str = ""

    def of_size(self, processes: int) -> Peer:
        """The same with another number of worker processes."""
        if len(self.workers) == PROCESSES:
            return replace(self, workers=[self.workers[0]] * processes)
        (command,) = self.workers
        return replace(self, workers=[[_COUNT.sub(rf"\g<1>{processes}", word) for word in command]])

    @property
    def is_own(self) -> bool:
        return not self.environment

    @property
    def comparable(self) -> bool:
        """Whether a headline may compare it: a Python library with the same guarantee."""
        return not self.is_own and self.language == PYTHON and self.guarantee == AT_LEAST_ONCE
