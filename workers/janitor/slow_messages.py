"""Slow messages: the janitor finds those that run for longer than is usual, and stores their samples."""

from __future__ import annotations

import math
from typing import Callable, Dict, Mapping, NamedTuple, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.consumer.local_records import REFUSED
from bizzmq.errors import QUEUE_TROUBLE, BrokerUnavailableError, DecodeError
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.utils import clock
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.janitor_messages import KeepProfile
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot

CHECK_S = 0.5
_BELIEVED_S = 60.0
"""How long what was read of a history is believed."""
_ENOUGH = 100
"""Fewer messages than this say nothing of a task."""
_SHARE = 0.99
_NAME_BYTES = 64
"""The scoreboard has the end of a task's name."""
_NOTHING_KNOWN = (*QUEUE_TROUBLE, CommandRefusedError, DecodeError)


class _Usual(NamedTuple):
    """How long the messages of a queue's tasks take at most, usually: by the end of the task's name, seconds."""

    until_s: float
    most_s: Mapping[str, float]


class SlowMessages:
    """Finds messages that run for longer than `autopsy_after_s` and than 99 % of their task's messages of the last day.

    The history is read only if a message runs for longer than `autopsy_after_s`, once a minute for each queue.

    Args:
        slots: returns the slot of each worker of the pool, by the worker's id.
        shards_of: returns the shards of a queue.
        report: called with the worker, the id of its message, and the number of its delivery, as long as it runs.
    """

    def __init__(
        self,
        broker: Broker,
        config: WorkerConfig,
        scoreboard: Scoreboard,
        slots: Callable[[], Dict[str, int]],
        shards_of: Callable[[str], Sequence[str]],
        report: Callable[[str, str, int], object],
    ) -> None:
        self._broker, self._queues, self._after_s = broker, config.queues, config.autopsy_after_s
        self._scoreboard, self._slots, self._shards_of, self._report = scoreboard, slots, shards_of, report
        self._window = checked_window(86_400, 3600)
        self._usual: Dict[str, _Usual] = {}
        self._unstored: Dict[str, KeepProfile] = {}
        self._next_s = 0.0

    def accept(self, request: KeepProfile) -> None:
        """Take samples, to be stored with the next tick. They replace those of the same worker before."""
        self._unstored[request.worker] = request

    def store(self) -> None:
        """Store what was taken. Call it before the messages of dead workers are requeued.

        Raises:
            BrokerUnavailableError: it is stored later.
        """
        for worker, request in list(self._unstored.items()):
            self._store(request)
            del self._unstored[worker]

    def _store(self, request: KeepProfile) -> None:
        """Store samples, unless the message has ended or Redis refuses them: the next ones have these, too."""
        for shard in self._shards_of(request.queue):
            try:
                if self._broker.record(shard, request.worker, request.message_id, profile=request.profile.encode()):
                    return
            except (*QUEUE_TROUBLE, *REFUSED):
                continue
            except BrokerUnavailableError:
                if not self._broker.connection.spans_nodes:
                    raise

    def tick(self) -> float:
        """Report slow messages, if it is time; returns the seconds until the next time.

        Raises:
            BrokerUnavailableError
        """
        if not self._after_s:
            return math.inf
        now_s = clock.monotonic()
        if now_s >= self._next_s:
            for worker, slot in self._slots().items():
                snapshot = self._scoreboard.slot(slot).read()
                if snapshot.activity is Activity.RUNNING and self._is_slow(snapshot, now_s):
                    self._report(worker, snapshot.running, snapshot.delivery)
            self._next_s = now_s + CHECK_S
        return max(0.0, self._next_s - now_s)

    def _is_slow(self, snapshot: Snapshot, now_s: float) -> bool:
        ran_s = now_s - snapshot.started_s
        if ran_s <= self._after_s or snapshot.queue_index >= len(self._queues):
            return False
        return ran_s > self._usual_s(self._queues[snapshot.queue_index], snapshot.task, now_s)

    def _usual_s(self, queue: str, task: str, now_s: float) -> float:
        """How long 99 % of a task's messages take at most, seconds; 0 if its history does not tell."""
        known = self._usual.get(queue)
        if known is None or now_s >= known.until_s:
            known = self._usual[queue] = _Usual(now_s + _BELIEVED_S, self._read(queue))
        return known.most_s.get(task, 0.0)

    def _read(self, queue: str) -> Dict[str, float]:
        try:
            history = self._broker.perform(read_metrics(self._broker.keys(queue), self._window))
        except _NOTHING_KNOWN:
            return {}
        except BrokerUnavailableError:
            if not self._broker.connection.spans_nodes:
                raise
            return {}
        found: Dict[str, float] = {}
        for task in history.tasks:
            run = history.total_of(task).run
            if run.count >= _ENOUGH:
                found[_end_of(task)] = run.quantile_s(_SHARE) or 0.0
        return found


def _end_of(task: str) -> str:
    """The end of a task's name, as the scoreboard has it."""
    return task.encode("utf-8", "replace")[-_NAME_BYTES:].decode("utf-8", "ignore")
