"""Queue outages: trouble with one of a worker's queues, which must not stop the work on the others."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, Sequence, TypeVar

from bizzmq.connection.retry import CURABLE, Outage, RetryUntilDone
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError
from bizzmq.utils import clock

T = TypeVar("T")


class QueueOutages:
    """Which queues of a worker are set aside, and the requests that are deferred until they work again.

    A queue is set aside because of its own trouble: a key of a wrong type, say, or options that cannot be read. If the
    queues are on several servers, a server that is unavailable or full sets its own queues aside, too. If they are on
    one server, its outage concerns all queues, and is waited for.

    The requests of a queue are sent in order. So nothing is claimed from a queue before the deferred outcomes of an
    earlier claim have been sent. Every request is safe to repeat.

    Args:
        retry_until_done: waits for the only server.
        spans_nodes: whether the queues are on several servers.

    Attributes:
        is_active: whether each claim needs these checks: a queue has failed, or the caller expects that one will.
    """

    def __init__(
        self, logger: logging.Logger, who: str, retry_until_done: RetryUntilDone, *, spans_nodes: bool
    ) -> None:
        self._logger = logger
        self._who = who
        self._retry_until_done = retry_until_done
        self._spans_nodes = spans_nodes
        self._own_trouble: tuple[type[BizzMQError], ...] = (*QUEUE_TROUBLE, *CURABLE) if spans_nodes else QUEUE_TROUBLE
        self.is_active = False
        self._deferred: dict[str, deque[Callable[[], object]]] = {}
        self._outages: dict[str, Outage] = {}
        self._away_until_s: dict[str, float] = {}
        self._since_s: dict[str, float] = {}

    def away_s(self, queue: str) -> float:
        """Seconds until the next try of a queue that is set aside; 0 if it works."""
        return max(0.0, self._away_until_s.get(queue, 0.0) - clock.monotonic())

    def lasts_s(self, queue: str) -> float:
        """Seconds since a queue was set aside; 0 if it works."""
        since_s = self._since_s.get(queue)
        return 0.0 if since_s is None else clock.monotonic() - since_s

    def attempt(
        self, queue: str, action: Callable[[], T], *, required: bool = False, failed: BizzMQError | None = None
    ) -> T | None:
        """The result of an action; None if the queue is set aside, by this action or before it.

        Args:
            required, failed: as for RetryUntilDone.
        """
        if self.away_s(queue):
            return None
        try:
            if isinstance(failed, self._own_trouble):
                raise failed
            result = action() if self._spans_nodes else self._retry_until_done(action, required=required, failed=failed)
        except self._own_trouble as error:
            self.failed(queue, error)
            return None
        self.over(queue)
        return result

    def failed(self, queue: str, error: Exception) -> float:
        """Set a queue aside; returns the seconds until the next try."""
        return self._note(queue, queue, error)

    def over(self, queue: str) -> None:
        """Note that a queue works."""
        self._since_s.pop(queue, None)
        outage = self._outages.get(queue)
        if outage is not None:
            outage.over()

    def with_wake_up(self, queues: Sequence[str]) -> Sequence[str]:
        """The queues that work, and whose wake-ups can be waited for."""
        if not self.is_active:
            return queues
        return [queue for queue in queues if not self.away_s(queue) and not self.away_s(_wake_up_of(queue))]

    def wake_up_failed(self, queue: str, error: Exception) -> float:
        """Note that the wake-up of a queue cannot be waited for; claims from it go on. Returns as `failed` does."""
        return self._note(_wake_up_of(queue), queue, error)

    def wake_ups_work(self, queues: Sequence[str]) -> None:
        """Note that the wake-ups of some queues were waited for."""
        if self.is_active:
            for queue in queues:
                self.over(_wake_up_of(queue))

    def _note(self, what: str, queue: str, error: Exception) -> float:
        self.is_active = True
        outage = self._outages.get(what)
        if outage is None:
            who = f"{self._who} on {what}" if self._spans_nodes else self._who
            outage = self._outages[what] = Outage(self._logger, who, queue=queue)
        self._since_s.setdefault(what, clock.monotonic())
        wait_s = outage.failed(error)
        self._away_until_s[what] = clock.monotonic() + wait_s
        return wait_s

    def send(self, queue: str, action: Callable[[], object]) -> bool:
        """Execute a request at once if nothing of the queue is deferred; else defer it. Whether nothing is deferred."""
        self._deferred.setdefault(queue, deque()).append(action)
        return self.send_deferred(queue)

    def has_deferred(self, queue: str) -> bool:
        """Whether requests of a queue are deferred."""
        return bool(self._deferred.get(queue))

    def send_deferred(self, queue: str) -> bool:
        """Execute the deferred requests of a queue; False if some are left."""
        deferred = self._deferred.get(queue)
        while deferred:
            if self.attempt(queue, _never_none(deferred[0]), required=True) is None:
                return False
            deferred.popleft()
        return True

    def send_all_deferred(self) -> None:
        """Execute all deferred requests: first those of queues that work, then the others, with retries.

        A queue that still has trouble of its own is not waited for: its lease, or a journal, has what is left.
        """
        for queue in self._deferred:
            self._away_until_s.pop(queue, None)  # this is the last chance
        for queue in [queue for queue in self._deferred if not self.send_deferred(queue)]:
            try:
                while self._deferred[queue]:
                    self._retry_until_done(self._deferred[queue][0])
                    self._deferred[queue].popleft()
            except QUEUE_TROUBLE as error:
                self.failed(queue, error)


def _wake_up_of(queue: str) -> str:
    return f"the wake-up of {queue}"


def _never_none(action: Callable[[], Any]) -> Callable[[], bool]:
    """The action, with a result that is never None."""

    def act() -> bool:
        action()
        return True

    return act
