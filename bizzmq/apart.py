"""One worker's queues on several servers: one of them being away must not stop the work on the others."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, TypeVar

from bizzmq import clock
from bizzmq.errors import BrokerFullError, BrokerUnavailableError
from bizzmq.outage import Outage

T = TypeVar("T")


class Apart:
    """What a worker owes each of its queues, and which of them cannot be asked now.

    Whatever is said to a queue is said in the order in which it came up, so nothing is claimed from a queue that is
    still owed the outcome of an earlier claim. All of it is safe to repeat.
    """

    def __init__(self, logger: logging.Logger, who: str) -> None:
        self._logger = logger
        self._who = who
        self._owed: dict[str, deque[Callable[[], object]]] = {}
        self._outages: dict[str, Outage] = {}
        self._away_until_s: dict[str, float] = {}

    def away_s(self, queue: str) -> float:
        """Seconds until a queue that is away is worth another try; 0 if it is there."""
        return max(0.0, self._away_until_s.get(queue, 0.0) - clock.monotonic())

    def owes(self, queue: str) -> bool:
        """Whether this queue has not been told everything yet."""
        return bool(self._owed.get(queue))

    def attempt(self, queue: str, action: Callable[[], T]) -> T | None:
        """The result of an action; None if the queue is away, or is just found to be."""
        if self.away_s(queue):
            return None
        try:
            result = action()
        except (BrokerUnavailableError, BrokerFullError) as error:
            self.failed(queue, error)
            return None
        outage = self._outages.get(queue)
        if outage is not None:
            outage.over()
        return result

    def failed(self, queue: str, error: Exception) -> float:
        """Note that a queue is away; returns how long to let it rest, seconds."""
        outage = self._outages.get(queue)
        if outage is None:
            outage = self._outages[queue] = Outage(self._logger, f"{self._who} on {queue}")
        rest_s = outage.failed(error)
        self._away_until_s[queue] = clock.monotonic() + rest_s
        return rest_s

    def owe(self, queue: str, action: Callable[[], object]) -> None:
        """Have this done, at once if the queue is there and is owed nothing else, else as soon as it can be."""
        self._owed.setdefault(queue, deque()).append(action)
        self.pay(queue)

    def pay(self, queue: str) -> bool:
        """Do what is owed to a queue; False if not all of it could be done."""
        owed = self._owed.get(queue)
        while owed:
            if self.attempt(queue, _answered(owed[0])) is None:
                return False
            owed.popleft()
        return True

    def pay_all(self, insist: Callable[[Callable[[], object]], object]) -> None:
        """Do everything that is owed: first what can be done, then the rest with all insistence."""
        for queue in [queue for queue in self._owed if not self.pay(queue)]:
            while self._owed[queue]:
                insist(self._owed[queue][0])
                self._owed[queue].popleft()


def _answered(action: Callable[[], Any]) -> Callable[[], bool]:
    """The action, with a result that is never None."""

    def act() -> bool:
        action()
        return True

    return act
