"""How a worker's loop is set, why it ends, and how it holds out while Redis is away."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from enum import Enum
from typing import Callable, TypeVar

from bizzmq import clock
from bizzmq.claim_size import DEFAULT_LIMIT
from bizzmq.errors import BrokerFullError, BrokerUnavailableError
from bizzmq.outage import Outage
from bizzmq.registry import Death
from bizzmq.stop import Stop

T = TypeVar("T")
CURABLE = (BrokerUnavailableError, BrokerFullError)
"""What is wrong with a server, and passes, or an operator can cure it."""


class Leave(Enum):
    """Why a loop has ended."""

    DRAINED = "drained"
    BURST = "nothing left to do"
    LEASE_LOST = "lease lost"


@dataclass(frozen=True)
class ConsumerOptions:
    """How a loop behaves.

    Args:
        prefetch: most messages that are held at once, 1 to 100.
        block_s: longest wait for a wake-up, seconds; an idle worker sends two commands in this time.
        max_messages: the most messages to run, or 0 for no limit.
        replace_after: the number of messages after which to ask for a replacement. It is lower than `max_messages`, so
            that loops do not all leave at once, and one may go on until its successor is there.
        timeout_s: time limit of messages without another one, or 0.
        burst: leave when the queues hold nothing to do.
        burst_patience_s: how long a burst waits for a queue that is set aside.
        patience_s: how long a stopping loop waits for Redis before it leaves the rest to its lease.
    """

    prefetch: int = DEFAULT_LIMIT
    block_s: float = 5.0
    max_messages: int = 0
    replace_after: int = 0
    timeout_s: float = 0.0
    burst: bool = False
    burst_patience_s: float = math.inf
    patience_s: float = 5.0


class Journal:
    """Keeps nothing: for a loop whose outcomes are lost with its process. The pool's journal overrides all of it."""

    def keep(self, queue: str, owed: Death) -> None:
        """Redis is away: this is what it would have to be told of the worker's messages if the worker died now."""

    def clear(self, queue: str) -> None:
        """Redis has been told all that was kept for this queue, or must not be told any more."""


class Leaving(Exception):  # noqa: N818 - no error: the loop wants to leave, and owes Redis nothing
    """Redis is away while the loop wants to leave."""


class Insistence:
    """Repeats what Redis has to be told until it has answered, or until a leaving loop's patience is over.

    Args:
        away: called after each try that has failed.
    """

    def __init__(
        self,
        logger: logging.Logger,
        who: str,
        stop: Stop,
        leaving: Callable[[], bool],
        patience_s: float,
        away: Callable[[], None],
    ) -> None:
        self._outage = Outage(logger, who)
        self._stop = stop
        self._leaving = leaving
        self._patience_s = patience_s
        self._away = away

    def __call__(self, action: Callable[[], T], *, owed: bool = True, failed: Exception | None = None) -> T:
        """The result of an action, all of which are safe to repeat.

        Args:
            owed: whether a leaving loop must still have it done.
            failed: how a first try has failed, if there was one already.

        Raises:
            Leaving: the loop is leaving, Redis is away, and the action is not owed.
            BrokerUnavailableError: the loop is leaving, and Redis was away for its whole patience.
            QUEUE_TROUBLE: it is about one queue; see `apart`.
        """
        leaving_since_s: float | None = None
        while True:
            if failed is None:
                try:
                    result = action()
                    self._outage.over()
                    return result
                except CURABLE as error:
                    failed = error
            wait_s = self._outage.failed(failed)
            self._away()
            if not self._leaving():
                self._stop.wait(wait_s)
            elif not owed:
                raise Leaving from failed
            else:
                now_s = clock.monotonic()
                leaving_since_s = leaving_since_s or now_s
                if now_s - leaving_since_s > self._patience_s:
                    raise BrokerUnavailableError(str(failed)) from failed
                clock.sleep(wait_s)
            failed = None
