"""A circuit breaker per queue: when many different messages kill workers, the queue itself is sick."""

from __future__ import annotations

import logging
from collections import deque
from typing import Sequence

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers.scoreboard import PoolGate

_logger = logging.getLogger("bizzmq.supervisor")

WINDOW = 20
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
FORGET_S = 600.0
"""Deaths that are older than this do not count, and after so long without a pause the next one is short again."""


class Breaker:
    """Closes a queue for a while when more than half of its last 20 deaths came from different messages.

    One message that kills its workers is quarantined; that is not the queue's fault. Broken code or a broken
    machine makes every message deadly, and each would be quarantined after three deaths: better to wait.
    """

    def __init__(self, queues: Sequence[str], gate: PoolGate, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._queues = list(queues)
        self._gate = gate
        self._now_s = now_s
        self._deaths: list[deque[tuple[float, str]]] = [deque(maxlen=WINDOW) for _ in self._queues]
        self._pause_s = [FIRST_PAUSE_S for _ in self._queues]
        self._opened_s = [-FORGET_S for _ in self._queues]

    def died(self, queue_index: int, message_id: str) -> bool:
        """Note a worker's death by a message; returns whether that closed its queue."""
        now_s, deaths = self._now_s(), self._deaths[queue_index]
        deaths.append((now_s, message_id))
        while now_s - deaths[0][0] > FORGET_S:
            deaths.popleft()
        if len(deaths) < WINDOW or len({message for _, message in deaths}) <= WINDOW // 2:
            return False
        if now_s - self._opened_s[queue_index] > FORGET_S:
            self._pause_s[queue_index] = FIRST_PAUSE_S
        pause_s = self._pause_s[queue_index]
        self._gate.close_queue(queue_index, now_s + pause_s)
        self._opened_s[queue_index] = now_s + pause_s
        self._pause_s[queue_index] = min(LONGEST_PAUSE_S, pause_s * 2)
        deaths.clear()
        log(_logger, logging.ERROR, "many different messages of this queue kill workers, its claims pause",
            queue=self._queues[queue_index], pause_s=pause_s)  # fmt: skip
        return True
