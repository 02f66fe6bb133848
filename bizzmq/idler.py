"""What a loop does when it has found nothing to claim: it waits for a wake-up, for its stop, or for so many seconds."""

from __future__ import annotations

from functools import partial
from typing import Callable, Sequence

from bizzmq import clock
from bizzmq.apart import Apart
from bizzmq.broker import Broker
from bizzmq.errors import BrokerUnavailableError, WrongTypeError
from bizzmq.loop import Insistence
from bizzmq.stop import Stop

_DEAF_S = 1.0
"""How often queues are looked at whose wake-ups cannot be waited for, seconds."""


class Idler:
    """Waits on the loop's own connection.

    Args:
        watched: descriptors that end a wait when they become readable.

    Attributes:
        apart: what is known of queues on several servers; None if all are on one.
    """

    def __init__(
        self,
        broker: Broker,
        stop: Stop,
        watched: Sequence[int],
        leaving: Callable[[], bool],
        insist: Insistence,
    ) -> None:
        self._broker = broker
        self._stop = stop
        self._watched = watched
        self._leaving = leaving
        self._insist = insist
        self.apart: Apart | None = None

    def is_empty(self, queue: str) -> bool:
        """Whether nothing is left to do there; a queue that is away alone may have something."""
        ask = partial(self._broker.outstanding, queue)
        return (self._insist(ask, owed=False) if self.apart is None else self.apart.attempt(queue, ask)) == 0

    def wait(self, queues: Sequence[str], timeout_s: float) -> None:
        """Wait until there may be something to claim from one of the queues."""
        apart = self.apart
        if apart is None:
            self._insist(lambda: self._wait(queues, timeout_s), owed=False)
            return
        audible = apart.audible(queues)
        if not audible:
            self._stop.wait(min(timeout_s, _DEAF_S), *self._watched)
            return
        try:
            self._wait(audible, timeout_s)
        except WrongTypeError as error:
            for queue in [error.queue] if error.queue in audible else audible:
                apart.unheard(queue, error)
        except BrokerUnavailableError as error:
            self._stop.wait(apart.failed("waiting", error), *self._watched)
        else:
            apart.heard(audible)

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
