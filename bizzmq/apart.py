"""One worker's queues on several servers: what is wrong with one of them must not stop the work on the others."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, Sequence, TypeVar

from bizzmq import clock
from bizzmq.errors import BrokerFullError, BrokerUnavailableError, WrongTypeError
from bizzmq.outage import Outage

T = TypeVar("T")


class Apart:
    """What a worker owes each of its queues, and which of them cannot be asked now: away, full, or with a wrong key.

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
        except (BrokerUnavailableError, BrokerFullError, WrongTypeError) as error:  # what an operator can cure
            self.failed(queue, error)
            return None
        self.over(queue)
        return result

    def audible(self, queues: Sequence[str]) -> list[str]:
        """Those of some queues that are there, and whose wake-ups can be waited for."""
        return [queue for queue in queues if not self.away_s(queue) and not self.away_s(_wake_up_of(queue))]

    def unheard(self, queue: str, error: Exception) -> float:
        """Note that a queue's wake-up cannot be waited for; the claims from it go on. Returns as `failed` does."""
        return self.failed(_wake_up_of(queue), error)

    def heard(self, queues: Sequence[str]) -> None:
        """Note that the wake-ups of some queues have been waited for."""
        for queue in queues:
            self.over(_wake_up_of(queue))

    def over(self, queue: str) -> None:
        """Note that a queue is there."""
        outage = self._outages.get(queue)
        if outage is not None:
            outage.over()

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


def _wake_up_of(queue: str) -> str:
    return f"the wake-up of {queue}"


def _answered(action: Callable[[], Any]) -> Callable[[], bool]:
    """The action, with a result that is never None."""

    def act() -> bool:
        action()
        return True

    return act
