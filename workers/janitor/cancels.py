"""Cancels of running messages: the janitor asks Redis for requests, and tells the supervisor."""

from __future__ import annotations

import logging
import math
from typing import Callable, Dict, List, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.cancels import CANCEL_CHECK_S, CANCELS_UNREADABLE
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import QUEUE_TROUBLE, BrokerUnavailableError
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot

_logger = logging.getLogger("bizzmq.janitor")
Running = Dict[str, Snapshot]


class RunningCancels:
    """Finds requests to cancel what the pool's workers run. Without a running message it asks nothing.

    Args:
        slots: returns the slot of each worker of the pool, by the worker's id.
        shards_of: returns the shards of a queue.
        request: called with the worker, the id of its message, and the number of its delivery.
    """

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        scoreboard: Scoreboard,
        slots: Callable[[], Dict[str, int]],
        shards_of: Callable[[str], Sequence[str]],
        request: Callable[[str, str, int], object],
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._scoreboard = scoreboard
        self._slots = slots
        self._shards_of = shards_of
        self._request = request
        self._next_s = 0.0
        self._is_refused = False

    def tick(self) -> float:
        """Check if it is time; returns the seconds until the next time."""
        now_s = clock.monotonic()
        if self._is_refused:
            return math.inf
        if now_s >= self._next_s:
            for queue, running in self._running().items():
                self._check(queue, running)
            self._next_s = now_s + CANCEL_CHECK_S
        return max(0.0, self._next_s - now_s)

    def _running(self) -> Dict[str, Running]:
        """What the workers run: queue -> worker -> its activity."""
        found: Dict[str, Running] = {}
        for worker, slot in self._slots().items():
            snapshot = self._scoreboard.slot(slot).read()
            if snapshot.activity is Activity.RUNNING and snapshot.queue_index < len(self._queues):
                found.setdefault(self._queues[snapshot.queue_index], {})[worker] = snapshot
        return found

    def _check(self, queue: str, running: Running) -> None:
        ids: List[str] = [snapshot.running for snapshot in running.values()]
        requested: List[str] = []
        for shard in self._shards_of(queue):
            try:
                requested += self._broker.cancelled_among(shard, ids)
            except QUEUE_TROUBLE:
                continue  # the lease logs it
            except CommandRefusedError as error:
                self._is_refused = True
                log(_logger, logging.WARNING, CANCELS_UNREADABLE, error=str(error))
                return
            except BrokerUnavailableError:
                if not self._broker.connection.spans_nodes:
                    raise
        for worker, snapshot in running.items():
            if snapshot.running in requested:
                self._request(worker, snapshot.running, snapshot.delivery)
