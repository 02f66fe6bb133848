"""What a loop does when it has found nothing to claim: it waits for a wake-up, for its stop, or for so many seconds."""

from __future__ import annotations

import logging
import math
import random
from functools import partial
from typing import Callable, Sequence

from bizzmq import clock
from bizzmq.apart import Apart
from bizzmq.broker import Broker
from bizzmq.errors import QUEUE_TROUBLE, BrokerRefusesError, BrokerUnavailableError
from bizzmq.foreign import CommandRefusedError
from bizzmq.logs import log
from bizzmq.loop import Insistence
from bizzmq.stop import Stop

FIRST_POLL_S, LONGEST_POLL_S = 0.02, 0.5
"""Between two looks of a worker that may not block; the time doubles while it finds nothing. Seconds."""
_BLOCK_AGAIN_S = 60.0
"""After this time it is tried again whether it may block by now: another server may have taken over."""
_DEAF_S = 1.0
"""How often queues are looked at whose wake-ups cannot be waited for, seconds."""

_SOON_S = 1.0
"""A connection that is closed sooner than this after the wait began is trouble; later, it was closed for being idle."""
_logger = logging.getLogger("bizzmq.consumer")


class Polling:
    """What an idle worker does where BZPOPMIN is refused: it looks again after a while. Said once a process."""

    def __init__(self) -> None:
        self._until_s = float("-inf")
        self._wait_s = FIRST_POLL_S
        self._handled = -1
        self._is_said = False

    @property
    def is_on(self) -> bool:
        """Whether it is known that waiting for a wake-up would be refused."""
        return clock.monotonic() < self._until_s

    def refused(self, error: CommandRefusedError) -> None:
        """Note that the worker may not block."""
        self._until_s = clock.monotonic() + _BLOCK_AGAIN_S
        if not self._is_said:
            self._is_said = True
            log(_logger, logging.WARNING, "BZPOPMIN is refused, so idle workers poll and messages may wait longer",
                longest_s=LONGEST_POLL_S, error=str(error))  # fmt: skip

    def next_s(self, handled: int) -> float:
        """Seconds until the next look, with jitter; few again once messages have been handled."""
        self._wait_s = min(LONGEST_POLL_S, self._wait_s * 2) if handled == self._handled else FIRST_POLL_S
        self._handled = handled
        return self._wait_s * (0.75 + random.random() / 4)


class Idler:
    """Waits on the loop's own connection.

    Args:
        watched: descriptors that end a wait when they become readable.
        set_apart: called when something is wrong with one queue; sets `apart`.
        burst_patience_s: see ConsumerOptions.

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
        burst_patience_s: float = math.inf,
    ) -> None:
        self._broker = broker
        self._stop = stop
        self._watched = watched
        self._leaving = leaving
        self._insist = insist
        self._set_apart = set_apart
        self._burst_patience_s = burst_patience_s
        self._polling = Polling()
        self.apart: Apart | None = None

    def is_empty(self, queue: str) -> bool:
        """Whether nothing is left to do there. A queue that is set aside may have something; a burst gives it up."""
        ask = partial(self._broker.outstanding, queue)
        if self.apart is None:
            try:
                return self._insist(ask, owed=False) == 0
            except QUEUE_TROUBLE as error:
                self._set_apart().failed(queue, error)
                return False
        return self.apart.attempt(queue, ask) == 0 or self.apart.lasts_s(queue) >= self._burst_patience_s

    def wait(self, queues: Sequence[str], timeout_s: float, handled: int = 0) -> None:
        """Wait until there may be something to claim from one of the queues.

        Args:
            handled: how many messages this worker has handled so far.
        """
        if not self._polling.is_on:
            self._listen(queues, timeout_s)
        if self._polling.is_on:
            self._stop.wait(min(timeout_s, self._polling.next_s(handled)), *self._watched)

    def _listen(self, queues: Sequence[str], timeout_s: float) -> None:
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
        try:
            self._block(queues, timeout_s)
        except CommandRefusedError as error:
            self._polling.refused(error)

    def _block(self, queues: Sequence[str], timeout_s: float) -> None:
        connection = self._broker.connection
        began_s = clock.monotonic()
        give_up_s = began_s + self._broker.block(queues, timeout_s)
        while not connection.wait(give_up_s - clock.monotonic(), *self._watched):
            is_late = clock.monotonic() >= give_up_s
            if is_late or self._leaving():
                connection.drop()  # the reply that is still due must not answer another command
                if is_late:
                    raise BrokerUnavailableError("no reply to a blocking command in time")
                return
            self._stop.clear()  # some signal that the handler's own code has to do with
        try:
            self._broker.woken()
        except BrokerRefusesError:
            raise
        except BrokerUnavailableError:
            if clock.monotonic() - began_s < _SOON_S:
                raise
            # Proxies end connections that are silent. The next claim opens another one, and tells if it cannot.
