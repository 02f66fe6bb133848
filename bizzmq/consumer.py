"""One worker's loop: claim, run, settle. The pool's processes and the in-process consumer share it."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Collection, Sequence

from bizzmq import clock, failpoints
from bizzmq.apart import Apart
from bizzmq.broker import BATCH_LIMIT, Broker, Claimed
from bizzmq.claim_size import ClaimSize
from bizzmq.context import Context, Deadline
from bizzmq.errors import (
    QUEUE_TROUBLE,
    BrokerReplyError,
    BrokerUnavailableError,
    DecodeError,
    LeaseLostError,
)
from bizzmq.handler import Handler
from bizzmq.idler import Idler
from bizzmq.ids import match_message_id
from bizzmq.keys import whole_of
from bizzmq.logs import log
from bizzmq.loop import CURABLE, ConsumerOptions, Insistence, Journal, Leave, Leaving
from bizzmq.message import NO_ATTEMPTS, Attempts, decode_envelope
from bizzmq.options_cache import OptionsCache
from bizzmq.places import Places
from bizzmq.queue import QueueOptions
from bizzmq.record import Gate, Record
from bizzmq.registry import Death
from bizzmq.settler import Delivery, Settler
from bizzmq.signing import Decode
from bizzmq.stop import Stop

_logger = logging.getLogger("bizzmq.consumer")
_GATE_S = 0.25
"""How often a closed gate is looked at, seconds."""


class Consumer:
    """Runs messages of some queues, in order of preference, under one registered worker id.

    Args:
        unregistered: queues on which the worker could not be registered yet, for a trouble of their own.
    """

    def __init__(
        self,
        broker: Broker,
        worker: str,
        queues: Sequence[str],
        handler: Handler,
        stop: Stop,
        record: Record,
        options: ConsumerOptions = ConsumerOptions(),
        *,
        drain: Deadline | None = None,
        lifeline: Callable[[], bool] | None = None,
        lifeline_descriptors: Sequence[int] = (),
        gate: Gate | None = None,
        on_max_messages: Callable[[], None] | None = None,
        decode: Decode = decode_envelope,
        journal: Journal | None = None,
        unregistered: Collection[str] = (),
    ) -> None:
        self._broker = broker
        self._worker = worker
        self._places = Places(queues)
        self._handler = handler
        self._stop = stop
        self._record = record
        self._gate = gate or Gate()
        self._options = options
        self._drain = drain or Deadline()
        self._orphaned = lifeline or (lambda: False)
        self._apart: Apart | None = None
        self._insist = Insistence(_logger, worker, stop, self._leaving, options.patience_s, self._note_owed)
        self._watched = (stop.fileno(), *lifeline_descriptors)
        self._idler = Idler(
            broker, stop, self._watched, self._leaving, self._insist, self._set_apart, options.burst_patience_s
        )
        self._claim_size = ClaimSize(options.prefetch)
        self._settler = Settler(broker, worker)
        self._options_of = OptionsCache(broker)
        self._settings, self._stale_at_s = self._options_of.fresh, -math.inf
        self._unregistered = frozenset(unregistered)
        self._claimed_from: set[str] = set()  # since each queue is looked at for itself
        self._unspread: set[str] = set()  # queues whose shards are not known
        self._finished: list[bytes] = []
        self._finished_on = queues[0]
        self._unsent: Callable[[], Death] | None = None
        self._journal = journal or Journal()
        self._handled = 0
        self._most = options.max_messages or math.inf
        self._asks_at = options.replace_after or self._most
        handler.when_spent = self._note_spent
        self._has_asked = False
        self._on_max_messages = on_max_messages or stop.request
        self._decode = decode
        self._failpoint = failpoints.armed()

    def run(self) -> Leave:
        """Work until it is time to leave; what is not started has been given back by then."""
        try:
            self._places.spread(self._shards_of)
            if self._unregistered or (self._broker.connection.spans_nodes and len(self._places.queues) > 1):
                self._set_apart()
            while True:
                leave = self.tick()
                if leave is not None:
                    return leave
        except Leaving:
            return Leave.DRAINED
        except LeaseLostError as error:
            self._journal.clear(error.queue)
            log(_logger, logging.WARNING, "lease lost, its messages belong to others", worker=self._worker,
                queue=error.queue)  # fmt: skip
            return Leave.LEASE_LOST
        except BrokerUnavailableError as error:
            log(_logger, logging.WARNING, "stopped while Redis is unavailable, the lease returns what is held",
                worker=self._worker, error=str(error))  # fmt: skip
            return Leave.DRAINED

    @property
    def handled(self) -> int:
        """How many messages it has run, failed ones too."""
        return self._handled

    def tick(self) -> Leave | None:
        """One round: leave, run a batch, or wait for a wake-up."""
        if self._leaving():
            self._settle_all()
            return Leave.DRAINED
        if self._handled >= self._asks_at and self._is_spent():
            return None
        due_s = self._options.block_s
        is_any_open = False
        for index, queue in self._places.order:
            if not self._gate.is_open(index):
                due_s = _GATE_S
                continue
            is_any_open = True
            claimed = self._claim(queue)
            if claimed.entries:
                self._run_batch(queue, claimed.entries)
                return None
            if claimed.due_s is not None:
                due_s = min(due_s, claimed.due_s)
        if not is_any_open:
            self._settle()  # acks ride on claims; without one they have to go by themselves
            self._stop.wait(_GATE_S, *self._watched)
            return None
        if self._options.burst:
            if all(map(self._idler.is_empty, self._places.queues)):
                return Leave.BURST
            due_s = min(due_s, 0.2)  # others may still fail messages into these queues: look again soon
        self._record.waits()
        self._idler.wait(self._places.queues, due_s, self._handled)
        return None

    def _note_spent(self) -> None:
        self._asks_at = 0

    def _is_spent(self) -> bool:
        """Ask for a replacement, once; True if nothing is to be run here any more, after a short wait for it."""
        if not self._has_asked:
            self._has_asked = True
            self._on_max_messages()
        if not self._handler.is_spent and self._handled < self._most:
            return False
        self._settle()
        self._record.waits()
        self._stop.wait(_GATE_S, *self._watched)
        return True

    def _leaving(self) -> bool:
        return self._stop.requested or self._orphaned()

    def _claim(self, queue: str) -> Claimed:
        """Claim from a queue; acks of what was finished travel along, or first if they are another queue's."""
        if self._finished and self._finished_on != queue:
            self._settle()
        self._record.claims()
        if self._apart is not None:
            return self._claim_apart(self._apart, queue)
        finished = self._finished
        if finished and self._failpoint:
            self._failpoint("before-ack")
        try:
            claimed = self._broker.claim(queue, self._worker, self._claim_size.size, finished)
        except (*CURABLE, *QUEUE_TROUBLE) as error:
            again = self._claim_again(queue, finished, error)
            if again is None:
                return self._claim_apart(self._set_apart(), queue)
            claimed = again
        if finished:
            self._finished = []
            self._record.acked()
            if self._failpoint:
                self._failpoint("after-ack")
            self._journal.clear(queue)
        return claimed

    def _claim_again(self, queue: str, finished: Sequence[bytes], error: Exception) -> Claimed | None:
        """The rest of a claim that has failed; None if it is about this queue alone."""
        want = self._claim_size.size
        try:
            if isinstance(error, QUEUE_TROUBLE):
                raise error
            return self._insist(
                lambda: self._broker.claim(queue, self._worker, want, finished), owed=bool(finished), failed=error
            )
        except QUEUE_TROUBLE:
            return None

    def _set_apart(self) -> Apart:
        """From now on each queue is looked at for itself: something is wrong with one, or may be."""
        if self._apart is None:
            spans = self._broker.connection.spans_nodes
            self._apart = self._idler.apart = Apart(_logger, self._worker, None if spans else self._insist)
        return self._apart

    def _shards_of(self, queue: str) -> Sequence[str]:
        try:
            return self._insist(lambda: self._broker.shards(queue), owed=False)
        except QUEUE_TROUBLE as error:
            self._unspread.add(queue)
            self._set_apart().failed(queue, error)
            return [queue]

    def _claim_apart(self, apart: Apart, queue: str) -> Claimed:
        """As `_claim`; nothing from a queue that is set aside, and what is finished there is acked later."""
        want, finished = self._claim_size.size, self._finished
        claimed = None
        if apart.pay(queue):
            claimed = apart.attempt(
                queue, lambda: self._claimed_with_settings(queue, want, finished), owed=bool(finished)
            )
        if claimed is not None:
            if finished:  # else the note may be of another queue, which is owed its acks
                self._record.acked()
            self._journal.clear(queue)
        elif finished:
            self._note_owed()
            apart.owe(queue, lambda: self._broker.claim(queue, self._worker, 0, finished))
        self._finished = []
        return claimed or Claimed((), apart.away_s(queue))

    def _claimed_with_settings(self, queue: str, want: int, finished: Sequence[bytes]) -> Claimed:
        """Claim, knowing how to handle it: what cannot be handled is not held."""
        if not finished:
            self._stale_at_s = self._options_of.renew(clock.monotonic())
            self._refreshed(queue)
        try:
            claimed = self._broker.claim(queue, self._worker, want, finished)
        except LeaseLostError:
            if queue in self._claimed_from or whole_of(queue) not in self._unregistered:
                raise
            raise BrokerReplyError("this worker is not registered here yet") from None
        self._claimed_from.add(queue)
        return claimed

    def _settle(self) -> None:
        """Ack what is finished, without claiming more."""
        if not self._finished:
            return
        if self._failpoint:
            self._failpoint("before-ack")
        queue, finished = self._finished_on, self._finished
        is_done = self._give(queue, lambda: self._broker.claim(queue, self._worker, 0, finished))
        self._finished = []
        if self._failpoint:
            self._failpoint("after-ack")
        if is_done:
            self._record.acked()
            self._journal.clear(queue)

    def _settle_all(self) -> None:
        """Leave nothing unsaid."""
        self._settle()
        if self._apart is not None:
            self._apart.pay_all(self._insist)
            for queue in self._places.queues:
                self._journal.clear(queue)

    def _give(self, queue: str, action: Callable[[], object]) -> bool:
        """Have Redis do what follows from a claim; False if this queue's server alone is away, and it is done later."""
        if self._apart is None:
            try:
                self._insist(action)
                return True
            except QUEUE_TROUBLE:
                self._set_apart()
        assert self._apart is not None
        self._apart.owe(queue, action)
        if self._apart.owes(queue):
            self._note_owed()
            return False
        return True

    def _note_owed(self) -> None:
        """Redis is away: what it has not been told of the last batch is kept where it outlives this process."""
        owed = self._unsent() if self._unsent is not None else Death("stopped")
        finished = self._finished[-1].decode() if self._finished else ""
        if finished or owed.running:
            self._journal.keep(self._finished_on, replace(owed, last_finished=finished))

    def _run_batch(self, queue: str, entries: Sequence[Any]) -> None:
        if self._failpoint:
            self._failpoint("after-claim")
        started_s = now_s = clock.monotonic()
        if started_s >= self._stale_at_s:
            self._stale_at_s = self._options_of.renew(started_s)
        try:
            settings = self._settings.get(queue) or self._settings_of(queue)
        except _SetAside:
            return  # what is held is what the next claim returns
        index = self._places.index_of[queue]
        stop, record = self._stop, self._record
        self._finished_on = queue
        overdue_s = started_s + self._claim_size.longest_s
        rest = len(entries)
        if rest > 1:
            record.holds_several()
            if rest > BATCH_LIMIT:  # the list is forged; the next claim returns the others
                entries, rest = entries[:BATCH_LIMIT], BATCH_LIMIT
        for entry in entries:
            if stop.requested or record.is_recalled or now_s > overdue_s:
                break
            rest -= 1
            now_s = self._run_one(queue, index, entry, settings, now_s, rest)
        done = len(entries) - rest
        record.idle()
        self._places.worked_on(queue)
        self._handled += done
        self._claim_size.observe(done, now_s - started_s)
        if self._most < math.inf:
            self._claim_size.at_most(int(self._most) - self._handled)
        if rest:
            self._give_back(queue, [entry[0] for entry in reversed(entries[done:])])

    def _give_back(self, queue: str, unstarted: Sequence[bytes]) -> None:
        number = self._settler.number_release()
        self._give(queue, lambda: self._broker.release(queue, self._worker, number, unstarted))

    def _run_one(self, queue: str, index: int, entry: Any, settings: QueueOptions, now_s: float, rest: int) -> float:
        """Run one message, after which so many are left of this claim; returns when it ended."""
        message_id, envelope, counts = entry
        try:
            if match_message_id(message_id) is None:
                raise DecodeError("what stands for the message's id is none")
            message = self._decode(message_id.decode(), queue, envelope)
            attempts, number = NO_ATTEMPTS, 1
            if counts is not None:
                attempts = Attempts.decode(counts)
                number = attempts.delivery
        except (DecodeError, UnicodeDecodeError) as error:
            if match_message_id(message_id):  # a record has room for an id, and keeps nothing that others may mistake
                self._record.settling(message_id, index)
            self._give(queue, partial(self._settler.undecodable, queue, message_id, counts, error))
            return self._ended_s(queue)
        timeout_s = message.timeout_s or settings.timeout_s or self._options.timeout_s or None
        context = Context(message, attempts, now_s, timeout_s, self._drain)
        if self._failpoint:
            self._failpoint("before-handler")
        self._record.begin(message_id, index, now_s, now_s + timeout_s if timeout_s else 0.0, number, rest)
        failure = self._handler.run(message.body, context)
        if failure is None:
            self._finished.append(message_id)
            self._record.finish(message_id)
            if self._failpoint:
                self._failpoint("after-handler")
        else:
            self._record.settling(message_id, index)
            self._settle_failure(queue, Delivery(message, attempts, settings, failure))
            return self._ended_s(queue)
        return clock.monotonic()

    def _ended_s(self, queue: str) -> float:
        """When a failed message ended; if Redis was not told, too late for those behind it in this claim.

        A later success would stand for the failure, too.
        """
        return math.inf if self._apart is not None and self._apart.owes(queue) else clock.monotonic()

    def _settle_failure(self, queue: str, delivery: Delivery) -> None:
        decision = self._settler.decide(delivery)
        self._unsent = lambda: self._settler.unsent(delivery, decision)
        if self._give(queue, lambda: self._settler.apply(delivery, decision)):
            self._journal.clear(queue)
        self._unsent = None

    def _settings_of(self, queue: str) -> QueueOptions:
        """The options to handle this queue's messages by. Raises _SetAside if they cannot be had."""
        settings = None
        if self._apart is not None:
            settings = self._apart.attempt(queue, lambda: self._refreshed(queue))
        else:
            try:
                settings = self._insist(lambda: self._refreshed(queue), owed=False)
            except QUEUE_TROUBLE as error:
                self._set_apart().failed(queue, error)
        if settings is None:
            raise _SetAside
        return settings

    def _refreshed(self, queue: str) -> QueueOptions:
        """The options. Where they could not be read at the start, the shards are known now, too."""
        options = self._options_of.read(queue)
        if queue in self._unspread:
            self._unspread.discard(queue)
            self._places.spread_one(queue, self._broker.shards(queue))
        return options


class _SetAside(Exception):  # noqa: N818 - no error: the queue's turn is over
    """A queue's options cannot be had, and it is set aside."""
