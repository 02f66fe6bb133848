"""What a loop does when it has found nothing to claim: it waits for a wake-up, for its stop, or for so many seconds."""

from __future__ import annotations

from functools import partial
from typing import Callable, Sequence

from bizzmq import clock
from bizzmq.apart import Apart
from bizzmq.broker import Broker
from bizzmq.errors import QUEUE_TROUBLE, BrokerUnavailableError
from bizzmq.loop import Insistence
from bizzmq.stop import Stop

_DEAF_S = 1.0
"""How often queues are looked at whose wake-ups cannot be waited for, seconds."""


class Idler:
    """Waits on the loop's own connection.

    Args:
        watched: descriptors that end a wait when they become readable.
        set_apart: called when something is wrong with one queue; sets `apart`.

    Attributes:
        apart: what is known of queues one by one; None if all are on one server, and nothing was ever wrong with one.
    """

    def __init__(
        self,
        broker: Broker,
        stop: Stop,
        watched: Sequence[int],
        leaving: Callable[[], bool],
        insist: Insistence,
        set_apart: Callable[[], Apart],
    ) -> None:
        self._broker = broker
        self._stop = stop
        self._watched = watched
        self._leaving = leaving
        self._insist = insist
        self._set_apart = set_apart
        self.apart: Apart | None = None

    def is_empty(self, queue: str) -> bool:
        """Whether nothing is left to do there; a queue that is set aside may have something."""
        ask = partial(self._broker.outstanding, queue)
        if self.apart is None:
            try:
                return self._insist(ask, owed=False) == 0
            except QUEUE_TROUBLE as error:
                self._set_apart().failed(queue, error)
                return False
        return self.apart.attempt(queue, ask) == 0

    def wait(self, queues: Sequence[str], timeout_s: float) -> None:
        """Wait until there may be something to claim from one of the queues."""
        apart = self.apart
        if apart is not None:
            self._wait_apart(apart, queues, timeout_s)
            return
        try:
            self._insist(lambda: self._wait(queues, timeout_s), owed=False)
        except QUEUE_TROUBLE as error:
            self._unheard(self._set_apart(), queues, error)

    def _wait_apart(self, apart: Apart, queues: Sequence[str], timeout_s: float) -> None:
        audible = apart.audible(queues)
        if len(audible) < len(queues):
            timeout_s = min(timeout_s, _DEAF_S)
        if not audible:
            self._stop.wait(timeout_s, *self._watched)
            return
        try:
            if self._broker.connection.spans_nodes:
                self._wait(audible, timeout_s)
            else:
                self._insist(lambda: self._wait(audible, timeout_s), owed=False)
        except QUEUE_TROUBLE as error:
            self._unheard(apart, audible, error)
        except BrokerUnavailableError as error:
            self._stop.wait(apart.failed("waiting", error), *self._watched)
        else:
            apart.heard(audible)

    @staticmethod
    def _unheard(apart: Apart, queues: Sequence[str], error: Exception) -> None:
        queue = getattr(error, "queue", "")
        for one in [queue] if queue in queues else queues:
            apart.unheard(one, error)

    def _wait(self, queues: Sequence[str], timeout_s: float) -> None:
        connection = self._broker.connection
        give_up_s = clock.monotonic() + self._broker.block(queues, timeout_s)
        while not connection.wait(give_up_s - clock.monotonic(), *self._watched):
            is_late = clock.monotonic() >= give_up_s
            if is_late or self._leaving():
                connection.drop()  # the reply that is still due must not answer another command
                if is_late:
                    raise BrokerUnavailableError("no reply to a blocking command in time")
                return
            self._stop.clear()  # some signal that the handler's own code has to do with
        self._broker.woken()
