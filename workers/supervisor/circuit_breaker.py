"""A circuit breaker for each queue: many different messages that kill workers mean that the queue itself is broken."""

from __future__ import annotations

import logging
from collections import deque
from typing import Sequence

from bizzmq.utils import backoff, clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.pool_header import PoolGate

_logger = logging.getLogger("bizzmq.supervisor")

WINDOW = 20
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
FORGET_S = 600.0
"""Older deaths do not count, and after `n` seconds without a pause the next one is short again."""


class CircuitBreaker:
    """Closes a queue for a while when more than half of its last 20 deaths came from different messages.

    One message that kills its workers is quarantined; the queue is fine. With broken code or a broken machine every
    message kills, and each would be quarantined after three deaths: it is better to wait.
    """

    def __init__(self, queues: Sequence[str], gate: PoolGate, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._queues = list(queues)
        self._gate = gate
        self._now_s = now_s
        self._deaths: list[deque[tuple[float, str]]] = [deque(maxlen=WINDOW) for _ in self._queues]
        self._pauses = [0 for _ in self._queues]
        self._opened_s = [-FORGET_S for _ in self._queues]

    def died(self, queue_index: int, message_id: str) -> bool:
        """Note that a message has killed its worker; returns whether that closed its queue."""
        now_s, deaths = self._now_s(), self._deaths[queue_index]
        deaths.append((now_s, message_id))
        while now_s - deaths[0][0] > FORGET_S:
            deaths.popleft()
        if len(deaths) < WINDOW or len({message for _, message in deaths}) <= WINDOW // 2:
            return False
        if now_s - self._opened_s[queue_index] > FORGET_S:
            self._pauses[queue_index] = 0
        pause_s = backoff.doubled(FIRST_PAUSE_S, self._pauses[queue_index], LONGEST_PAUSE_S)
        self._gate.close_queue(queue_index, now_s + pause_s)
        self._opened_s[queue_index] = now_s + pause_s
        self._pauses[queue_index] += 1
        deaths.clear()
        log(_logger, logging.ERROR, "many different messages of this queue kill workers, its claims pause",
            queue=self._queues[queue_index], pause_s=pause_s)  # fmt: skip
        return True
