"""Queue order: the order in which a worker claims from its queues, and from the shards of each."""

from __future__ import annotations

import random
from collections import deque
from typing import Callable, Sequence


class QueueOrder:
    """Queues in order of preference, each with its index in the pool's settings.

    All shards of a queue have the same preference. So after one of them had work, the next one comes first.

    Attributes:
        order: (index, name) of each shard.
        index_of: shard -> the index of its queue.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = tuple(queues)
        self._groups = [deque([queue]) for queue in queues]
        self.index_of = {queue: index for index, queue in enumerate(queues)}
        self.order = self._ordered()

    def spread(self, shards_of: Callable[[str], Sequence[str]]) -> None:
        """Replace the queues by their shards. Each worker begins with a random one."""
        for queue in self._queues:
            self.spread_one(queue, shards_of(queue))

    def spread_one(self, queue: str, shards: Sequence[str]) -> None:
        """Replace one of the queues by its shards."""
        index = self._queues.index(queue)
        self.index_of.update(dict.fromkeys(shards, index))
        self._groups[index] = deque(shards)
        self._groups[index].rotate(random.randrange(len(shards)))
        self.order = self._ordered()

    def _ordered(self) -> list[tuple[int, str]]:
        return [(index, queue) for index, group in enumerate(self._groups) for queue in group]

    @property
    def queues(self) -> list[str]:
        """The names of all shards."""
        return [queue for _, queue in self.order]

    def worked_on(self, queue: str) -> None:
        """Note that a shard had work."""
        group = self._groups[self.index_of[queue]]
        if len(group) > 1:
            group.rotate(-1 - group.index(queue))
            self.order = self._ordered()
