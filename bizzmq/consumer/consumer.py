"""The consumer: one worker's loop, which claims, runs and settles. The pool and the in-process consumer share it."""

from __future__ import annotations

import logging
import math
from typing import Collection, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.connection.retry import StoppedWhileUnavailable
from bizzmq.consumer.batch import BatchRunner
from bizzmq.consumer.claims import Claimer
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.hooks import ConsumerHooks
from bizzmq.consumer.idle import IdleWait
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.consumer.prefetch import AdaptivePrefetch
from bizzmq.consumer.queues.order import QueueOrder
from bizzmq.errors import BrokerUnavailableError, LeaseLostError
from bizzmq.utils.logs import log
from bizzmq.utils.stop_event import StopEvent

_logger = logging.getLogger("bizzmq.consumer")
_GATE_S = 0.25
"""The interval at which a closed gate is checked, seconds."""
_BURST_S = 0.2
"""The interval at which a burst checks whether the queues are empty: other workers may still fail messages. Seconds."""


class Consumer:
    """Runs messages of some queues, in order of preference, under one registered worker id.

    Args:
        unregistered: queues on which the worker is not registered yet, because of trouble of their own.
    """

    def __init__(
        self,
        broker: Broker,
        worker: str,
        queues: Sequence[str],
        handler: Handler,
        stop: StopEvent,
        options: ConsumerOptions = ConsumerOptions(),
        hooks: ConsumerHooks | None = None,
        *,
        unregistered: Collection[str] = (),
    ) -> None:
        hooks = hooks or ConsumerHooks()
        self._worker = worker
        self._handler = handler
        self._stop = stop
        self._options = options
        self._activity = hooks.activity
        self._gate = hooks.gate
        self._is_orphaned = hooks.is_orphaned
        self._descriptors = (stop.fileno(), *hooks.descriptors)
        self._queue_order = QueueOrder(queues)
        self._prefetch = AdaptivePrefetch(options.prefetch)
        self._claimer = Claimer(
            broker, worker, self._queue_order, self._prefetch, hooks, stop, self._is_stopping,
            patience_s=options.patience_s, unregistered=unregistered,
        )  # fmt: skip
        self._batches = BatchRunner(
            broker, worker, handler, self._claimer, self._queue_order, self._prefetch,
            stop=stop, options=options, hooks=hooks,
        )  # fmt: skip
        self._run_batch, self._meter = self._batches.run, self._batches.meter
        self._idle_wait = IdleWait(
            broker, stop, self._descriptors, self._is_stopping, self._claimer.retry_until_done, self._claimer.outages,
            self._batches.is_other_work, options.burst_patience_s,
        )  # fmt: skip
        self._most = options.max_messages or math.inf
        self._replace_at = options.replace_after or self._most
        handler.when_spent = self._note_spent
        self._has_requested_replacement = False
        self._request_replacement = hooks.on_max_messages or stop.request

    def run(self) -> ExitReason:
        """Work until the loop has to end. By then, all claimed messages that were not started have been given back."""
        try:
            self.learn_shards()
            while True:
                reason = self.tick()
                if reason is not None:
                    return reason
        except StoppedWhileUnavailable:
            return ExitReason.DRAINED
        except LeaseLostError as error:
            self._claimer.clear_journal(error.queue)
            log(_logger, logging.WARNING, "lease lost, its messages belong to others", worker=self._worker,
                queue=error.queue)  # fmt: skip
            return ExitReason.LEASE_LOST
        except BrokerUnavailableError as error:
            log(_logger, logging.WARNING, "stopped while Redis is unavailable, the lease returns what is held",
                worker=self._worker, error=str(error))  # fmt: skip
            return ExitReason.DRAINED
        finally:
            self._meter.flush()

    @property
    def handled(self) -> int:
        """The number of messages that the loop has run, failed ones included."""
        return self._batches.handled

    def tick(self) -> ExitReason | None:
        """One round: run a batch, or wait for a wake-up, or end."""
        if self._is_stopping():
            self._claimer.send_all()
            return ExitReason.DRAINED
        if self._batches.handled >= self._replace_at and self._is_spent():
            return None
        due_s = self._options.block_s
        is_any_open = False
        for index, queue in self._queue_order.order:
            if not self._gate.is_open(index):
                due_s = _GATE_S
                continue
            is_any_open = True
            claimed = self._claimer.claim(queue)
            if claimed.entries:
                self._run_batch(queue, claimed.entries)
                return None
            if claimed.due_s is not None:
                due_s = min(due_s, claimed.due_s)
        if not is_any_open:
            self._meter.flush()
            self._claimer.ack_finished()  # no claim carries these acks
            self._stop.wait(_GATE_S, *self._descriptors)
            return None
        if self._options.burst:
            if all(map(self._idle_wait.is_empty, self._queue_order.queues)):
                return ExitReason.BURST
            due_s = min(due_s, _BURST_S)
        self._meter.flush()
        self._activity.waits()
        self._idle_wait.wait(self._queue_order.queues, due_s, self._batches.handled)
        self._meter.woke()
        return None

    def learn_shards(self) -> None:
        """Ask for the shards of the queues. `run` does it by itself; who calls `tick` does it before."""
        self._claimer.learn_shards()

    def send_finished(self) -> None:
        """Send the acks that no claim has carried yet."""
        self._claimer.ack_finished()

    def _is_stopping(self) -> bool:
        return self._stop.requested or self._is_orphaned()

    def _note_spent(self) -> None:
        self._replace_at = 0

    def _is_spent(self) -> bool:
        """Request a replacement, once. Whether this loop must run nothing more; if so, it has waited for a moment."""
        if not self._has_requested_replacement:
            self._has_requested_replacement = True
            self._request_replacement()
        if not self._handler.is_spent and self._batches.handled < self._most:
            return False
        self._claimer.ack_finished()
        self._meter.flush()
        self._activity.waits()
        self._stop.wait(_GATE_S, *self._descriptors)
        return True
