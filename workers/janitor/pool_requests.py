"""Requests to the pool through Redis: the janitor takes them, passes them to the supervisor, and stores the answers."""

from __future__ import annotations

import logging
import math
from typing import Callable

from bizzmq.broker.broker import Broker
from bizzmq.broker.requests import ASK_S
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import QUEUE_TROUBLE, BrokerFullError, BrokerUnavailableError, DecodeError
from bizzmq.protocol.pool_request import PoolAnswer, read_request
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.janitor_messages import Answer, Ask

_logger = logging.getLogger("bizzmq.janitor")
_MOST_ANSWERS = 64
"""Answers that wait for Redis; older ones are dropped."""
_TROUBLE = (*QUEUE_TROUBLE, BrokerFullError, DecodeError)


class PoolRequests:
    """Takes the requests to the pool, once a second with one command, and stores the answers.

    Args:
        queue: the pool's queue, or shard, on which it is asked.
        pass_on: called with each request that was taken.
        reach: called with the name of each step, for tests that end the process there.
    """

    def __init__(
        self,
        broker: Broker,
        supervisor: str,
        queue: str,
        pass_on: Callable[[Ask], object],
        reach: Callable[[str], None] | None = None,
    ) -> None:
        self._broker, self._supervisor, self._queue = broker, supervisor, queue
        self._pass_on = pass_on
        self._reach = reach or (lambda _name: None)
        self._answers: list[Answer] = []
        self._next_s = 0.0
        self._is_refused = False

    def accept(self, answer: Answer) -> None:
        """Take an answer of the supervisor, to be stored with the next tick."""
        self._answers = [*self._answers, answer][-_MOST_ANSWERS:]

    def tick(self) -> float:
        """Take and answer requests, when it is time; returns the seconds until the next time.

        Raises:
            BrokerUnavailableError
        """
        if self._is_refused:
            return math.inf
        try:
            self._store_answers()
            now_s = clock.monotonic()
            if now_s >= self._next_s:
                self._take()
                self._next_s = now_s + ASK_S
        except CommandRefusedError as error:
            self._is_refused = True
            log(_logger, logging.INFO, "this pool takes no requests through Redis: its user may not read them",
                error=str(error))  # fmt: skip
            return math.inf
        except _TROUBLE:
            self._next_s = clock.monotonic() + ASK_S  # the lease logs what is wrong with the queue
        except BrokerUnavailableError:
            if not self._broker.connection.spans_nodes:
                raise
            self._next_s = clock.monotonic() + ASK_S
        return max(0.0, self._next_s - clock.monotonic())

    def _take(self) -> None:
        waiting = self._broker.requests_to(self._queue, self._supervisor)
        if not waiting:
            return
        taken = self._broker.take_requests(self._queue, self._supervisor, waiting)
        now_s = clock.monotonic()
        self._reach("after-take")
        for one in taken:
            try:
                request = read_request(one.text)
            except DecodeError as error:
                self.accept(Answer(one.id, False, str(error)))
                continue
            self._pass_on(Ask(one.id, *request, void_s=now_s + one.left_ms / 1000))

    def _store_answers(self) -> None:
        while self._answers:
            one = self._answers[0]
            self._broker.answer(self._queue, one.id, PoolAnswer(one.is_done, one.text).encode())
            del self._answers[0]
