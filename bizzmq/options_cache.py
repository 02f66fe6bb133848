"""The options of queues as they were last read: what a worker goes by, also while Redis has lost its data."""

from __future__ import annotations

import math

from bizzmq.broker import Broker
from bizzmq.errors import QueueNotFoundError
from bizzmq.queue import QueueOptions

FRESH_S = 5.0
"""How long options are believed before they are read again, seconds: so soon a worker learns others."""


class OptionsCache:
    """Remembers, and reads again what is not fresh.

    Attributes:
        fresh: queue -> options that need not be read again before the next `renew`. Looked at before each batch, so
            it is a plain dictionary, and always the same one.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._last: dict[str, QueueOptions] = {}
        self.fresh: dict[str, QueueOptions] = {}
        self._stale_at_s = -math.inf

    def renew(self, now_s: float) -> float:
        """If it is time to, have all options read again when they are needed next; returns the next such time."""
        if now_s >= self._stale_at_s:
            self.fresh.clear()
            self._stale_at_s = now_s + FRESH_S
        return self._stale_at_s

    def read(self, queue: str) -> QueueOptions:
        """The options, read again if they are not fresh. A queue that has just vanished has those that it had.

        Raises:
            QueueNotFoundError: it was never seen.
            DecodeError: they cannot be read.
        """
        if queue not in self.fresh:
            try:
                self._last[queue] = self._broker.options(queue)
            except QueueNotFoundError:
                if queue not in self._last:
                    raise
            self.fresh[queue] = self._last[queue]
        return self.fresh[queue]
