"""One worker's queues apart: what is wrong with one of them must not stop the work on the others."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, Sequence, TypeVar

from bizzmq import clock
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError
from bizzmq.loop import CURABLE, Insistence
from bizzmq.outage import Outage

T = TypeVar("T")


class Apart:
    """What a worker owes each of its queues, and which of them are set aside: with a wrong key, say, or unreadable.

    Where queues are on several servers, one that is away or full sets its own queues aside, too. With one server that
    is everybody's trouble, and is waited for.

    Whatever is said to a queue is said in the order in which it came up, so nothing is claimed from a queue that is
    still owed the outcome of an earlier claim. All of it is safe to repeat.

    Args:
        insist: how to wait for the only server; None if there are several.
    """

    def __init__(self, logger: logging.Logger, who: str, insist: Insistence | None = None) -> None:
        self._logger = logger
        self._who = who
        self._insist = insist
        self._alone: tuple[type[BizzMQError], ...] = QUEUE_TROUBLE if insist else (*QUEUE_TROUBLE, *CURABLE)
        self._owed: dict[str, deque[Callable[[], object]]] = {}
        self._outages: dict[str, Outage] = {}
        self._away_until_s: dict[str, float] = {}
        self._since_s: dict[str, float] = {}

    def away_s(self, queue: str) -> float:
        """Seconds until a queue that is away is worth another try; 0 if it is there."""
        return max(0.0, self._away_until_s.get(queue, 0.0) - clock.monotonic())

    def lasts_s(self, queue: str) -> float:
        """Seconds since a queue was set aside; 0 if it is there."""
        since_s = self._since_s.get(queue)
        return 0.0 if since_s is None else clock.monotonic() - since_s

    def owes(self, queue: str) -> bool:
        """Whether this queue has not been told everything yet."""
        return bool(self._owed.get(queue))

    def attempt(self, queue: str, action: Callable[[], T], *, owed: bool = False) -> T | None:
        """The result of an action; None if the queue is set aside, or just was.

        Args:
            owed: as for Insistence.
        """
        if self.away_s(queue):
            return None
        try:
            result = action() if self._insist is None else self._insist(action, owed=owed)
        except self._alone as error:  # what an operator can cure
            self.failed(queue, error)
            return None
        self.over(queue)
        return result

    def audible(self, queues: Sequence[str]) -> list[str]:
        """Those of some queues that are there, and whose wake-ups can be waited for."""
        return [queue for queue in queues if not self.away_s(queue) and not self.away_s(_wake_up_of(queue))]

    def unheard(self, queue: str, error: Exception) -> float:
        """Note that a queue's wake-up cannot be waited for; the claims from it go on. Returns as `failed` does."""
        return self._note(_wake_up_of(queue), queue, error)

    def heard(self, queues: Sequence[str]) -> None:
        """Note that the wake-ups of some queues have been waited for."""
        for queue in queues:
            self.over(_wake_up_of(queue))

    def over(self, queue: str) -> None:
        """Note that a queue is there."""
        self._since_s.pop(queue, None)
        outage = self._outages.get(queue)
        if outage is not None:
            outage.over()

    def failed(self, queue: str, error: Exception) -> float:
        """Note that a queue is away; returns how long to let it rest, seconds."""
        return self._note(queue, queue, error)

    def _note(self, what: str, queue: str, error: Exception) -> float:
        outage = self._outages.get(what)
        if outage is None:
            who = f"{self._who} on {what}" if self._insist is None else self._who
            outage = self._outages[what] = Outage(self._logger, who, queue=queue)
        self._since_s.setdefault(what, clock.monotonic())
        rest_s = outage.failed(error)
        self._away_until_s[what] = clock.monotonic() + rest_s
        return rest_s

    def owe(self, queue: str, action: Callable[[], object]) -> None:
        """Have this done, at once if the queue is there and is owed nothing else, else as soon as it can be."""
        self._owed.setdefault(queue, deque()).append(action)
        self.pay(queue)

    def pay(self, queue: str) -> bool:
        """Do what is owed to a queue; False if not all of it could be done."""
        owed = self._owed.get(queue)
        while owed:
            if self.attempt(queue, _answered(owed[0]), owed=True) is None:
                return False
            owed.popleft()
        return True

    def pay_all(self, insist: Insistence) -> None:
        """Do everything that is owed: first what can be done, then the rest with all insistence.

        What is wrong with a queue itself is not waited for: its lease, or a journal, has what is left.
        """
        for queue in self._owed:
            self._away_until_s.pop(queue, None)  # it is now or never
        for queue in [queue for queue in self._owed if not self.pay(queue)]:
            try:
                while self._owed[queue]:
                    insist(self._owed[queue][0])
                    self._owed[queue].popleft()
            except QUEUE_TROUBLE as error:
                self.failed(queue, error)


def _wake_up_of(queue: str) -> str:
    return f"the wake-up of {queue}"


def _answered(action: Callable[[], Any]) -> Callable[[], bool]:
    """The action, with a result that is never None."""

    def act() -> bool:
        action()
        return True

    return act
