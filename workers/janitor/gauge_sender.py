"""The counts that the janitor sends to the supervisor: for its health port, and for the autoscaler."""

from __future__ import annotations

from typing import Callable, Iterable, Mapping, Sequence

from bizzmq.admin.stats import stats
from bizzmq.broker.broker import Broker
from bizzmq.broker.metrics import QueueGauges
from bizzmq.errors import QUEUE_TROUBLE, BrokerUnavailableError
from bizzmq.metrics.wanted import RunTimes, read_run_times
from bizzmq.protocol.keys import logical_queue
from bizzmq.queue import QueueStats
from bizzmq.utils import clock
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.janitor_messages import Gauges, QueueLengths

_EVERY_S = 1.0


class GaugeSender:
    """Sends the counts of a pool's queues.

    Args:
        before_request: called before each request of a series.
        has_health_port: whether the supervisor needs the run times of the queues.
    """

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        channel: Channel,
        *,
        before_request: Callable[[], None],
        has_health_port: bool,
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._channel = channel
        self._before_request, self._has_health_port = before_request, has_health_port
        self._next_s = 0.0

    def send_lengths(self, gauges: Mapping[str, QueueGauges]) -> None:
        """Send the lengths of the queues, for the health port. The shards of a queue add up."""
        queues: dict[str, list[int]] = {}
        for shard, one in gauges.items():
            known = queues.setdefault(logical_queue(shard), [0] * 5)
            counts = (one.waiting, one.delayed, one.processing, one.letters)
            known[:4] = [before + more for before, more in zip(known, counts)]
            known[4] = max(known[4], one.oldest_ms)
        self._channel.send(QueueLengths(queues, self._run_times(queues) if self._has_health_port else {}))

    def _run_times(self, queues: Iterable[str]) -> dict[str, RunTimes]:
        """The run times of the queues, of all pools. A queue that cannot be read is left out."""
        found: dict[str, RunTimes] = {}
        for queue in queues:
            self._before_request()
            try:
                found[queue] = self._broker.perform(read_run_times(self._broker.keys(queue)))
            except (*QUEUE_TROUBLE, BrokerUnavailableError):  # the next report finds an outage
                continue
        return found

    def tick(self) -> float:
        """Send the figures for the autoscaler, once a second; returns the seconds until the next time."""
        now_s = clock.monotonic()
        if now_s >= self._next_s:
            counts = [count for queue in self._queues for count in self._counts(queue)]
            settled = sum(count.acked + count.retried + count.discarded for count in counts)
            self._channel.send(Gauges(sum(count.waiting for count in counts), settled))
            self._next_s = now_s + _EVERY_S
        return self._next_s - now_s

    def _counts(self, queue: str) -> list[QueueStats]:
        """The counts of a queue; none if it is out of order."""
        try:
            return [stats(self._broker, queue)]
        except QUEUE_TROUBLE:
            return []
