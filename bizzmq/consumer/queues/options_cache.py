"""The options of queues as they were last read. A worker uses them even while Redis has lost its data."""

from __future__ import annotations

import math

from bizzmq.broker.broker import Broker
from bizzmq.errors import QueueNotFoundError
from bizzmq.queue import QueueOptions

FRESH_S = 5.0
"""How long options are used before they are read again, seconds. A worker learns of new options within this time."""


class OptionsCache:
    """Caches the options of queues.

    Attributes:
        fresh: queue -> options that need not be read again before `stale_at_s`. It is looked at before each batch, so
            it is a plain dictionary, and always the same one.
        implicit: queues whose options nobody has chosen.
        stale_at_s: the monotonic time at which `renew` is due.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._last: dict[str, QueueOptions] = {}
        self.fresh: dict[str, QueueOptions] = {}
        self.implicit: set[str] = set()
        self.stale_at_s = -math.inf

    def renew(self, now_s: float) -> None:
        """If it is due, have all options read again when they are next needed."""
        if now_s >= self.stale_at_s:
            self.fresh.clear()
            self.stale_at_s = now_s + FRESH_S

    def read(self, queue: str) -> QueueOptions:
        """The options of a queue, read again if they are not fresh. A queue that has vanished keeps its last options.

        Raises:
            QueueNotFoundError: the queue does not exist, and its options were never read.
            DecodeError: the options cannot be decoded.
        """
        if queue not in self.fresh:
            try:
                self._last[queue], is_implicit = self._broker.meta(queue)
                (self.implicit.add if is_implicit else self.implicit.discard)(queue)
            except QueueNotFoundError:
                if queue not in self._last:
                    raise
            self.fresh[queue] = self._last[queue]
        return self.fresh[queue]
