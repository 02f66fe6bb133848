"""Where a worker looks for messages: its queues in order of preference, and the shards of each in turn."""

from __future__ import annotations

import random
from collections import deque
from typing import Callable, Sequence


class Places:
    """Queues in order of preference, each with the number that it has in the pool's settings.

    Attributes:
        order: (number, queue) each, shards one by one.
        index_of: the number of the queue that this is, or is a shard of.

    All shards of a queue are preferred alike: so each time that one has given work, the next one's turn comes first.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        self._wholes = tuple(queues)
        self._groups = [deque([queue]) for queue in queues]
        self.index_of = {queue: index for index, queue in enumerate(queues)}
        self.order = self._ordered()

    def spread(self, shards_of: Callable[[str], Sequence[str]]) -> None:
        """Take the shards in for the queues. Every worker begins with another one of them."""
        for whole in self._wholes:
            self.spread_one(whole, shards_of(whole))

    def spread_one(self, whole: str, shards: Sequence[str]) -> None:
        """Take in the shards of one of the queues."""
        index = self._wholes.index(whole)
        self.index_of.update(dict.fromkeys(shards, index))
        self._groups[index] = deque(shards)
        self._groups[index].rotate(random.randrange(len(shards)))
        self.order = self._ordered()

    def _ordered(self) -> list[tuple[int, str]]:
        return [(index, queue) for index, group in enumerate(self._groups) for queue in group]

    @property
    def queues(self) -> list[str]:
        """All of them, shards named one by one."""
        return [queue for _, queue in self.order]

    def worked_on(self, queue: str) -> None:
        """Note that a queue has given work."""
        group = self._groups[self.index_of[queue]]
        if len(group) > 1:
            group.rotate(-1 - group.index(queue))
            self.order = self._ordered()
