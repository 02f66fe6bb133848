"""The idle wait: a loop that has found nothing to claim waits for a wake-up, for its stop, or for a time."""

from __future__ import annotations

import logging
import math
import random
from functools import partial
from typing import Any, Callable, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.retry import RetryUntilDone
from bizzmq.consumer.queues.outages import QueueOutages
from bizzmq.errors import QUEUE_TROUBLE, BrokerRefusesError, BrokerUnavailableError
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.utils.stop_event import StopEvent

FIRST_POLL_S, LONGEST_POLL_S = 0.02, 0.5
"""The interval of polling, where blocking is refused: it doubles as long as nothing is found. Seconds."""
_BLOCK_AGAIN_S = 60.0
"""After this time blocking is tried again: another server may have taken over."""
_WITHOUT_WAKE_UP_S = 1.0
"""The interval at which queues are checked whose wake-ups cannot be waited for, seconds."""

_LOOK_S, _PAGE = 1.0, 20
"""How often a burst looks at delayed messages, seconds; and how many it reads at once."""
_SOON_S = 1.0
"""A connection that closes within this time after the wait began is in trouble; later, it was closed for being idle."""
_logger = logging.getLogger("bizzmq.consumer")

IsOtherWork = Callable[[str, bytes, Any], bool]
"""Takes a queue, the id of a message, and its envelope."""


class Polling:
    """Polling in place of blocking, where BZPOPMIN is refused. Logged once in a process."""

    def __init__(self) -> None:
        self._until_s = float("-inf")
        self._wait_s = FIRST_POLL_S
        self._handled = -1
        self._is_logged = False

    @property
    def is_on(self) -> bool:
        """Whether a blocking command is known to be refused."""
        return clock.monotonic() < self._until_s

    def refused(self, error: CommandRefusedError) -> None:
        """Note that a blocking command was refused."""
        self._until_s = clock.monotonic() + _BLOCK_AGAIN_S
        if not self._is_logged:
            self._is_logged = True
            log(_logger, logging.WARNING, "BZPOPMIN is refused, so idle workers poll and messages may wait longer",
                longest_s=LONGEST_POLL_S, error=str(error))  # fmt: skip

    def next_s(self, handled: int) -> float:
        """Seconds until the next poll, with jitter; short again once more messages have been handled."""
        self._wait_s = min(LONGEST_POLL_S, self._wait_s * 2) if handled == self._handled else FIRST_POLL_S
        self._handled = handled
        return self._wait_s * (0.75 + random.random() / 4)


class IdleWait:
    """Waits on the connection of a loop.

    Args:
        descriptors: end a wait when they become readable.
        is_stopping: whether the loop should end.
        is_other_work: whether a stored message is left to workers with other code.
        burst_patience_s: see ConsumerOptions.
    """

    def __init__(
        self,
        broker: Broker,
        stop: StopEvent,
        descriptors: Sequence[int],
        is_stopping: Callable[[], bool],
        retry_until_done: RetryUntilDone,
        outages: QueueOutages,
        is_other_work: IsOtherWork = lambda *_: False,
        burst_patience_s: float = math.inf,
    ) -> None:
        self._broker = broker
        self._stop = stop
        self._descriptors = descriptors
        self._is_stopping = is_stopping
        self._retry_until_done = retry_until_done
        self._outages = outages
        self._is_other_work = is_other_work
        self._burst_patience_s = burst_patience_s
        self._look_at_s: dict[str, float] = {}  # by queue: when to look at its delayed messages again
        self._polling = Polling()

    def is_empty(self, queue: str) -> bool:
        """Whether a queue holds nothing to do for this worker.

        A queue that is set aside counts as empty after the burst's patience. Messages that wait for a worker that knows
        their task are no work for this one.
        """
        outstanding = self._outages.attempt(queue, partial(self._broker.outstanding, queue))
        if outstanding == 0 or self._outages.lasts_s(queue) >= self._burst_patience_s:
            return True
        return outstanding is not None and self._holds_other_work_only(queue, outstanding)

    def _holds_other_work_only(self, queue: str, outstanding: int) -> bool:
        """Whether all messages are delayed, and left to workers with other code. Looks once a second.

        Reads a few at a time, up to the first one that this worker can run.
        """
        now_s = clock.monotonic()
        if now_s < self._look_at_s.get(queue, 0.0):
            return False
        self._look_at_s[queue] = now_s + _LOOK_S
        start = 0
        while True:
            page = self._outages.attempt(queue, partial(self._broker.delayed, queue, start, _PAGE)) or []
            if not all(self._is_other_work(queue, message_id, envelope) for message_id, envelope in page):
                return False
            start += len(page)
            if len(page) < _PAGE:
                break
        if start < outstanding:
            return False
        log(_logger, logging.WARNING, "the burst leaves messages to workers that know their tasks", queue=queue,
            count=start)  # fmt: skip
        return True

    def wait(self, queues: Sequence[str], timeout_s: float, handled: int = 0) -> None:
        """Wait until one of the queues may have a message.

        Args:
            handled: the number of messages that the loop has handled so far.
        """
        if not self._polling.is_on:
            self._wait_for_wake_up(queues, timeout_s)
        if self._polling.is_on:
            self._stop.wait(min(timeout_s, self._polling.next_s(handled)), *self._descriptors)

    def _wait_for_wake_up(self, queues: Sequence[str], timeout_s: float) -> None:
        outages = self._outages
        working = outages.with_wake_up(queues)
        if len(working) < len(queues):
            timeout_s = min(timeout_s, _WITHOUT_WAKE_UP_S)
        if not working:
            self._stop.wait(timeout_s, *self._descriptors)
            return
        try:
            if self._broker.connection.spans_nodes:
                self._block_or_poll(working, timeout_s)
            else:
                self._retry_until_done(lambda: self._block_or_poll(working, timeout_s), required=False)
        except QUEUE_TROUBLE as error:
            queue = getattr(error, "queue", "")
            for failed in [queue] if queue in working else working:
                outages.wake_up_failed(failed, error)
        except BrokerUnavailableError as error:
            self._stop.wait(outages.failed("waiting", error), *self._descriptors)
        else:
            outages.wake_ups_work(working)

    def _block_or_poll(self, queues: Sequence[str], timeout_s: float) -> None:
        try:
            self._block(queues, timeout_s)
        except CommandRefusedError as error:
            self._polling.refused(error)

    def _block(self, queues: Sequence[str], timeout_s: float) -> None:
        connection = self._broker.connection
        began_s = clock.monotonic()
        give_up_s = began_s + self._broker.block(queues, timeout_s)
        while not connection.wait(give_up_s - clock.monotonic(), *self._descriptors):
            is_late = clock.monotonic() >= give_up_s
            if is_late or self._is_stopping():
                connection.drop()  # the reply is still due, and must not answer another command
                if is_late:
                    raise BrokerUnavailableError("no reply to a blocking command in time")
                return
            self._stop.clear()  # a signal that the handler's code uses has woken the loop
        try:
            self._broker.woken()
        except BrokerRefusesError:
            raise
        except BrokerUnavailableError:
            if clock.monotonic() - began_s < _SOON_S:
                raise
            # A proxy closes connections that are silent. The next claim opens a new one, and raises if it cannot.
