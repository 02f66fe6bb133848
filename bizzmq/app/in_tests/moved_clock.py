"""The clock of tests: delayed messages become due without a wait."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from bizzmq.broker.broker import Broker

_BATCH = 100


class Delayed(NamedTuple):
    """A delayed message: its shard, its id, and when it is due, ms by Redis's clock."""

    queue: str
    id: bytes
    due_ms: float


class Look(NamedTuple):
    """How many messages wait, and the seconds until the next delayed one is due, or None without one."""

    ready: int
    due_s: float | None


class MovedClock:
    """Moves the due times of delayed messages instead of the clock, which belongs to Redis.

    The messages keep their order and their distances. A message that is claimed meanwhile stays claimed.

    Args:
        queues: the names of the shards of all queues.
    """

    def __init__(self, broker: Broker, queues: Iterable[str]) -> None:
        self._broker = broker
        self._queues = list(queues)

    def advance(self, seconds: float) -> int:
        """Move the clock forward. Returns the number of messages that are due now."""
        now_ms = _ms(self._broker.time())
        delayed = self._delayed()
        for queue, entries in self._moved(delayed, seconds * 1000):
            self._broker.connection.execute("ZADD", self._broker.keys(queue).delayed, "XX", *entries)
        return sum(one.due_ms - seconds * 1000 <= now_ms for one in delayed)

    def look(self) -> Look:
        """What there is to do, read in one round trip for each shard."""
        ready, due_s = 0, []
        for queue in self._queues:
            k = self._broker.keys(queue)
            waiting, prioritized, first, time = self._broker.read_together(
                ("LLEN", k.waiting), ("ZCARD", k.prioritized), ("ZRANGE", k.delayed, 0, 0, "WITHSCORES"), ("TIME",)
            )
            ready += int(waiting) + int(prioritized)
            due_s += [max(0.0, float(due) - _ms(time)) / 1000 for due in first[1:]]
        return Look(ready, min(due_s, default=None))

    def _moved(self, delayed: List[Delayed], by_ms: float) -> Iterator[Tuple[str, List[object]]]:
        """For each batch of messages of a shard: the shard, and the new due times and ids in turn."""
        for queue in self._queues:
            own = [one for one in delayed if one.queue == queue]
            for first in range(0, len(own), _BATCH):
                entries: List[object] = []
                for one in own[first : first + _BATCH]:
                    entries += [repr(one.due_ms - by_ms), one.id]
                yield queue, entries

    def _delayed(self) -> List[Delayed]:
        found = []
        for queue in self._queues:
            flat = self._broker.connection.execute("ZRANGE", self._broker.keys(queue).delayed, 0, -1, "WITHSCORES")
            found += [Delayed(queue, one, float(due)) for one, due in zip(flat[::2], flat[1::2])]
        return found


def _ms(time: Sequence[Any]) -> int:
    """Milliseconds from the reply to TIME."""
    return int(time[0]) * 1000 + int(time[1]) // 1000
