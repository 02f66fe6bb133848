"""Facts that the test knows without Redis: published messages, runs and replies. Checks G1, G3 and G5."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Set, Tuple

from tests.model.queue import Counts, Queue

Entry = Tuple[str, str]


@dataclass
class Process:
    """A worker process. `hand` has the messages that it has claimed and not settled, oldest first."""

    id: str
    supervisor: str
    hand: List[Entry] = field(default_factory=list)
    finished: List[str] = field(default_factory=list)
    last: str = ""
    releases: int = 0
    lost: Set[str] = field(default_factory=set)  # in its hand without a lease


@dataclass
class Facts:
    """The ledger of one run. `ended` are the messages that were discarded or purged on purpose."""

    published: Set[str] = field(default_factory=set)
    done: Set[str] = field(default_factory=set)
    ended: Set[str] = field(default_factory=set)
    replayed: Set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)

    def check_balance(self, queue: Queue) -> None:
        """G1: nothing is lost, and nothing exists that was never published."""
        stored = set(queue.places())
        assert self.published - stored - self.done - self.ended == set(), "G1: lost"
        assert stored <= self.published, "G1: never published"

    def check_claimed(self, processes: Dict[str, Process], claimer: Process, entries: Tuple[Entry, ...]) -> None:
        """G3: no other worker with a lease has a claimed message, and a handled message is not claimed again."""
        for message_id, _ in entries:
            for other in processes.values():
                if other is not claimer and message_id not in other.lost:
                    assert message_id not in dict(other.hand), f"G3: {message_id} is run by {other.id}, too"
                    assert message_id not in other.finished, f"G3: {message_id} is finished by {other.id}"

    def check_blame(self, queue: Queue) -> None:
        """G5: no more crashes than deaths, and no more failures than happened. A replay starts from zero."""
        for message_id in set(queue.places()) - set(queue.dead):
            counts = Counts.of(queue.counts(message_id))
            deaths, failures = self.deaths[message_id], self.failures[message_id]
            assert counts.crashes <= deaths, f"G5: {message_id} has {counts}, and {deaths} deaths"
            assert counts.retries <= failures, f"G5: {message_id} has {counts}, and {failures} failures"
