"""A peer: how it is installed, started and queried, its settings and its guarantee."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Sequence, Tuple

AT_LEAST_ONCE = "at least once"
AT_MOST_ONCE = "at most once"
PYTHON, NODE, RUBY = "Python", "Node", "Ruby"
OWN = "BizzMQ"
PROCESSES = 2
"""The default number of workers of an arm."""
_COUNT = re.compile(r"(?<=--)((?:processes|workers|concurrency)=)2$")


@dataclass(frozen=True)
class Peer:
    """One arm of a comparison.

    Attributes:
        package: the installed package, whose version is reported.
        environment: the name of its environment, and of its file of pinned requirements; "" for BizzMQ's own.
        guarantee: what these settings guarantee when a worker is killed while a handler runs.
        settings: the settings that differ from the default, with the reason.
        workers: the commands that start two worker processes in total; `{python}` and `{bin}` are those of its
            environment, `{url}` is the server's.
        publisher: the command of its publisher.
        left: Redis commands whose replies are all 0 once everything is acked.
        recovery: what its default settings do for a message whose worker was killed, according to its source.
        source: where the source says so.
        hidden: a folder beside its adapter with modules that shadow installed ones.
        keeps_results: whether the handler returns a text of 100 bytes, and the library keeps it for an hour.
        feature: the feature that its messages use; "" for none.
        variables: more environment variables of its processes.
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
    keeps_results: bool = False
    feature: str = ""
    variables: Sequence[Tuple[str, str]] = ()

    def of_size(self, processes: int) -> Peer:
        """The same arm with another number of worker processes."""
        if len(self.workers) == PROCESSES:
            return replace(self, workers=[self.workers[0]] * processes)
        (command,) = self.workers
        return replace(self, workers=[[_COUNT.sub(rf"\g<1>{processes}", word) for word in command]])

    @property
    def is_own(self) -> bool:
        return not self.environment

    @property
    def comparable(self) -> bool:
        """Whether it may be compared in a headline: a Python library with the same guarantee."""
        return not self.is_own and self.language == PYTHON and self.guarantee == AT_LEAST_ONCE
