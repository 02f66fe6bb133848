"""Claims: a worker's requests to Redis. Each claim also acks the messages that were finished since the last one."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Callable, Collection, Mapping, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.message_calls import Claimed
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.connection.retry import CURABLE, RetryUntilDone
from bizzmq.consumer import failpoints
from bizzmq.consumer.hooks import ConsumerHooks
from bizzmq.consumer.prefetch import AdaptivePrefetch
from bizzmq.consumer.queues.options_cache import OptionsCache
from bizzmq.consumer.queues.order import QueueOrder
from bizzmq.consumer.queues.outages import QueueOutages
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, BrokerReplyError, LeaseLostError
from bizzmq.protocol.keys import logical_queue
from bizzmq.protocol.results import KeptResult
from bizzmq.queue import QueueOptions
from bizzmq.utils import clock
from bizzmq.utils.stop_event import StopEvent

_logger = logging.getLogger("bizzmq.consumer")
_RESULTS_BYTES = 1024 * 1024
"""Results of this size are sent before further messages run."""


class Claimer:
    """Claims messages for one worker, and sends their outcomes.

    While Redis is unavailable, it waits. Outcomes of a queue that is set aside are deferred. In both cases the journal
    stores what Redis has not received.

    Args:
        is_stopping: whether the loop should end.
        patience_s: see ConsumerOptions.
        unregistered: queues on which the worker is not registered yet, because of trouble of their own.

    Attributes:
        finished: ids of the messages to ack by the next claim, oldest first. All of them are of one queue.
        finished_on: that queue.
        results: by id, of those that keep one. They are sent by a request of their own before the claim.
    """

    def __init__(
        self,
        broker: Broker,
        worker: str,
        queue_order: QueueOrder,
        prefetch: AdaptivePrefetch,
        hooks: ConsumerHooks,
        stop: StopEvent,
        is_stopping: Callable[[], bool],
        *,
        patience_s: float,
        unregistered: Collection[str] = (),
    ) -> None:
        self._broker = broker
        self._worker = worker
        self._queue_order = queue_order
        self._prefetch = prefetch
        self._activity = hooks.activity
        self._journal = hooks.journal
        self._unregistered = frozenset(unregistered)
        self._claimed_from: set[str] = set()  # while outages are active
        self._unspread: set[str] = set()  # queues whose shards are not known
        self.retry_until_done = RetryUntilDone(_logger, worker, stop, is_stopping, patience_s, self._keep)
        self.outages = QueueOutages(_logger, worker, self.retry_until_done, spans_nodes=broker.connection.spans_nodes)
        self.options = OptionsCache(broker)
        self.finished: list[bytes] = []
        self.finished_on = queue_order.queues[0]
        self.results: dict[bytes, KeptResult] = {}
        self._results_bytes = 0
        self._unsent: Callable[[], DeadWorker] | None = None
        self._failpoint = failpoints.armed()

    def learn_shards(self) -> None:
        """Ask for the shards of the queues, and claim from these."""
        self._queue_order.spread(self._shards_of)
        is_on_several = self._broker.connection.spans_nodes and len(self._queue_order.queues) > 1
        if self._unregistered or is_on_several:
            self.outages.is_active = True

    def _shards_of(self, queue: str) -> Sequence[str]:
        try:
            return self.retry_until_done(lambda: self._broker.shards(queue), required=False)
        except QUEUE_TROUBLE as error:
            self._unspread.add(queue)
            self.outages.failed(queue, error)
            return [queue]

    def claim(self, queue: str) -> Claimed:
        """Claim from a queue, and ack what is finished; before the claim, if it is on another queue or has results."""
        finished = self.finished
        if finished and (self.finished_on != queue or self.results):
            self.ack_finished()
            finished = self.finished
        self._activity.claims()
        if self.outages.is_active:
            return self._claim_with_checks(queue)
        if finished and self._failpoint:
            self._failpoint("before-ack")
        try:
            claimed = self._broker.claim(queue, self._worker, self._prefetch.size, finished)
        except (*CURABLE, *QUEUE_TROUBLE) as error:
            retried = self._claim_again(queue, finished, error)
            if retried is None:
                return self._defer_acks(queue, finished)
            claimed = retried
        if finished:
            self.finished = []
            self._activity.acked()
            if self._failpoint:
                self._failpoint("after-ack")
            self._journal.clear(queue)
        return claimed

    def _claim_again(self, queue: str, finished: Sequence[bytes], failed: BizzMQError) -> Claimed | None:
        """Repeat a failed claim until Redis has answered; None if the queue is set aside."""
        want = self._prefetch.size
        return self.outages.attempt(
            queue,
            lambda: self._broker.claim(queue, self._worker, want, finished),
            required=bool(finished),
            failed=failed,
        )

    def _claim_with_checks(self, queue: str) -> Claimed:
        """As `claim`, while a queue may be set aside. Nothing is claimed before deferred outcomes have been sent."""
        want, finished = self._prefetch.size, self.finished
        claimed = None
        if self.outages.send_deferred(queue):
            claimed = self.outages.attempt(
                queue, lambda: self._claim_known(queue, want, finished), required=bool(finished)
            )
        if claimed is None:
            return self._defer_acks(queue, finished)
        if finished:  # else the recorded activity may be of another queue, whose acks are deferred
            self._activity.acked()
            self.finished = []
        self._journal.clear(queue)
        return claimed

    def _defer_acks(self, queue: str, finished: Sequence[bytes]) -> Claimed:
        """Nothing was claimed from a queue that is set aside: ack what is finished there once it works again."""
        if finished:
            self._keep()
            self.outages.send(queue, lambda: self._broker.claim(queue, self._worker, 0, finished))
            self.finished = []
        return Claimed((), self.outages.away_s(queue))

    def _claim_known(self, queue: str, want: int, finished: Sequence[bytes]) -> Claimed:
        """Claim after reading the options: a message whose options cannot be read should not be held."""
        if not finished:
            self.options.renew(clock.monotonic())
            self._read_options(queue)
        try:
            claimed = self._broker.claim(queue, self._worker, want, finished)
        except LeaseLostError:
            if queue in self._claimed_from or logical_queue(queue) not in self._unregistered:
                raise
            raise BrokerReplyError("this worker is not registered here yet") from None
        self._claimed_from.add(queue)
        return claimed

    def options_of(self, queue: str) -> QueueOptions | None:
        """The options of a queue; None if they cannot be read, and the queue is set aside."""
        return self.outages.attempt(queue, lambda: self._read_options(queue))

    def _read_options(self, queue: str) -> QueueOptions:
        """The options. If they could not be read at the start, the shards are learnt now, too."""
        options = self.options.read(queue)
        if queue in self._unspread:
            self._unspread.discard(queue)
            self._queue_order.spread_one(queue, self._broker.shards(queue))
        return options

    def send(self, queue: str, request: Callable[[], object], unsent: Callable[[], DeadWorker] | None = None) -> bool:
        """Send an outcome, or another request that follows from a claim; False if the queue is set aside.

        Args:
            unsent: the outcome for the journal, if it cannot be sent.
        """
        self._unsent = unsent
        is_sent = self.outages.send(queue, request)
        if not is_sent:
            self._keep()
        self._unsent = None
        return is_sent

    def finish_with_result(self, message_id: bytes, queue_index: int, kept: KeptResult) -> bool:
        """Note a message and its result as finished; False if the queue is set aside, and the acks are deferred."""
        size = self._results_bytes + len(kept[1])
        if size > _RESULTS_BYTES or not self._activity.store_result(message_id, kept):
            return self._finish_large(message_id, queue_index, kept)
        self.finished.append(message_id)
        self.results[message_id], self._results_bytes = kept, size
        self._activity.finish(message_id)
        return True

    def _finish_large(self, message_id: bytes, queue_index: int, kept: KeptResult) -> bool:
        """As `finish_with_result`, for a result that makes too many.

        One that does not fit into the recorded activity is sent at once. Until then the message counts as not
        finished: if the worker dies, it runs again.
        """
        self._activity.finishing(message_id, queue_index)
        is_stored = self.ack_finished() and self._activity.store_result(message_id, kept)
        self.finished.append(message_id)
        self.results[message_id], self._results_bytes = kept, len(kept.text)
        is_large = not is_stored or self._results_bytes > _RESULTS_BYTES
        is_acked = is_large and self.ack_finished()
        self._activity.finish(message_id)
        if is_acked:
            self._activity.acked()
        return not self.outages.has_deferred(self.finished_on)

    def ack_finished(self) -> bool:
        """Ack what is finished, without a claim; False if the queue is set aside, and the acks are deferred."""
        if not self.finished:
            return not self.outages.has_deferred(self.finished_on)
        if self._failpoint:
            self._failpoint("before-ack")
        queue, finished, results = self.finished_on, self.finished, self.results
        is_sent = self.send(queue, lambda: self._ack(queue, finished, results))
        self.finished, self.results, self._results_bytes = [], {}, 0
        if self._failpoint:
            self._failpoint("after-ack")
        if is_sent:
            self._activity.acked()
            self._journal.clear(queue)
        return is_sent

    def _ack(self, queue: str, finished: Sequence[bytes], results: Mapping[bytes, KeptResult]) -> None:
        if results:
            self._broker.finish(queue, self._worker, finished, results)
        else:
            self._broker.claim(queue, self._worker, 0, finished)

    def send_all(self) -> None:
        """Send all acks and all deferred outcomes before the loop ends."""
        self.ack_finished()
        self.outages.send_all_deferred()
        for queue in self._queue_order.queues:
            if not self.outages.has_deferred(queue):
                self._journal.clear(queue)

    def clear_journal(self, queue: str) -> None:
        """Note that Redis has received the outcomes of a queue, or must no longer receive them."""
        self._journal.clear(queue)

    def _keep(self) -> None:
        """Store in the journal what Redis has not received about the last batch."""
        outcome = self._unsent() if self._unsent is not None else DeadWorker(DeathKind.STOPPED)
        finished = self.finished[-1].decode() if self.finished else ""
        if finished or outcome.running:
            results = {message_id.decode(): kept for message_id, kept in self.results.items()}
            self._journal.keep(self.finished_on, replace(outcome, last_finished=finished, results=results))
