"""The in-process consumer: the worker's loop and its lease in two threads of the caller's process."""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import threading
from typing import Callable

from bizzmq import clock, ids
from bizzmq.broker import Broker
from bizzmq.consumer import Consumer
from bizzmq.context import Deadline
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError
from bizzmq.handler import Handler, UserHandler
from bizzmq.lease import LeaseKeeper, LeaseOptions
from bizzmq.logs import log
from bizzmq.loop import CURABLE, ConsumerOptions, Leave
from bizzmq.message import decode_envelope
from bizzmq.outage import Outage
from bizzmq.record import Record
from bizzmq.registry import Death
from bizzmq.signing import Decode
from bizzmq.stop import Stop

_logger = logging.getLogger("bizzmq.consumer")
_BEGIN_S, _LOOK_S = 1.0, 0.5
"""How long a thread may take to begin after its start was interrupted, and how often that is looked at."""


class _Thread:
    """A thread whose start, and the wait for whose end, may be struck by an exception out of a signal handler.

    `threading.Thread` bears neither: a strike in its `start` leaves a lock of its event held, and the new thread waits
    for ever to say that it has started. So another thread starts it: signal handlers run in the main thread alone.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._over = Stop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._runs = self._is_given_up = False
        self._failure: RuntimeError | None = None
        self.has_begun = False

    @property
    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def start(self) -> None:
        """Start it. Raises RuntimeError if the system has no thread left."""
        self.has_begun = True  # first: after an interrupt nobody knows whether it runs
        _thread.start_new_thread(self._begin, ())
        while not self._runs and self._failure is None:
            self._over.wait(_LOOK_S)
        if self._failure is not None:
            self.has_begun = False
            raise self._failure

    def _begin(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            self._failure = error
            self._over.nudge()

    def wait(self) -> bool:
        """Wait for its end; False if it does no work, now or later: its start was struck before there was a thread."""
        begin_by_s = clock.monotonic() + _BEGIN_S
        while self.has_begun and not self._over.requested and not self._is_given_up:
            if not self._runs and clock.monotonic() > begin_by_s:
                self._is_given_up = True
                if not self._runs:
                    break
            self._over.wait(_LOOK_S)
        self._over.close()
        return self._runs

    def is_over_within(self, timeout_s: float) -> bool:
        """Wait for its end, no longer than this."""
        give_up_s = clock.monotonic() + timeout_s
        while not self._over.requested:
            left_s = give_up_s - clock.monotonic()
            if left_s <= 0:
                return False
            self._over.wait(min(_LOOK_S, left_s))
        return True

    def _run(self) -> None:
        self._runs = True
        self._over.nudge()
        if self._is_given_up:
            return
        try:
            self._work()
        finally:
            self._over.request()


class BackgroundConsumer:
    """Consumes one queue until `stop` is called; registered in Redis as a supervisor of its own.

    Attributes:
        handled: how many messages it has run, once it has ended.

    Raises (from `start`):
        QueueNotFoundError, BrokerUnavailableError
    """

    def __init__(
        self,
        new_broker: Callable[[], Broker],
        queue: str,
        handler: UserHandler,
        lease: LeaseOptions = LeaseOptions(),
        decode: Decode = decode_envelope,
        options: ConsumerOptions = ConsumerOptions(),
    ) -> None:
        self.handled = 0
        self._options = options
        self._queue = queue
        self._handler = Handler(handler)
        self._decode = decode
        self._supervisor = ids.supervisor_id()
        self._broker = new_broker()
        self._keeper_broker = new_broker()
        self._keeper = LeaseKeeper(self._keeper_broker, self._supervisor, [queue], lease)
        self._stop = Stop()
        self._keeper_stop = Stop()
        self._starts = 0
        self._worker = ""
        self._process = os.getpid()
        self._threads = [
            _Thread(self._consume, f"bizzmq-consume-{queue}"),
            _Thread(self._keep, f"bizzmq-lease-{queue}"),
        ]

    def start(self) -> None:
        self._broker.options(self._queue)
        self._worker = self._register()
        atexit.register(self.stop)
        for thread in self._threads:
            thread.start()

    def run_here(self) -> None:
        """As `start`, but consume in this thread until `ask_to_stop`; only the lease is kept in another one."""
        self._broker.options(self._queue)
        self._worker = self._register()
        keeping = self._threads[1]
        keeping.start()
        try:
            self._consume()
        finally:
            self._keeper_stop.request()
            keeping.wait()

    def ask_to_stop(self) -> None:
        """Have it take no new message, and do not wait. From a signal handler, too."""
        self._stop.request()

    def stop(self) -> None:
        """Take no new message, wait for the running one, give back the rest. May be called again.

        Called by the handler itself, it does not wait. In a forked child, where its threads are not, it does nothing.
        """
        if os.getpid() != self._process:
            return
        self._stop.request()
        if any(thread.is_current for thread in self._threads):
            return
        consuming, keeping = self._threads
        is_registered = self._worker != ""
        if not consuming.wait():
            self._leave()
            self._keeper_stop.request()
        if not keeping.wait() and is_registered:
            self._strike_off()
        atexit.unregister(self.stop)
        self._stop.close()
        self._keeper_stop.close()

    def ends_within(self, timeout_s: float) -> bool:
        """Wait until it has ended by itself, as one that is a burst does; False if it has not by then."""
        return self._threads[0].is_over_within(timeout_s)

    def abandon(self) -> None:
        """Ask it to stop after its start has failed; `stop` waits for what has begun all the same."""
        self._stop.request()
        if not self._threads[0].has_begun:
            self.stop()

    def _register(self) -> str:
        worker = ids.worker_id(self._supervisor, self._starts)
        self._starts += 1
        self._keeper.register(worker)
        return worker

    def _consume(self) -> None:
        try:
            while self._consume_once() is Leave.LEASE_LOST:
                self._worker = self._register_again()
        except Exception as error:  # noqa: BLE001 - the end of a thread is noticed by nobody else
            if not self._stop.requested or not isinstance(error, BizzMQError):
                log(_logger, logging.ERROR, "the consumer has ended", queue=self._queue, error=error)
        finally:
            self._leave()
            self._handler.close()
            self._keeper_stop.request()

    def _consume_once(self) -> Leave:
        consumer = Consumer(
            self._broker, self._worker, [self._queue], self._handler, self._stop, Record(), self._options,
            drain=Deadline(), decode=self._decode,
        )  # fmt: skip
        try:
            return consumer.run()
        finally:
            self.handled += consumer.handled

    def _register_again(self) -> str:
        outage = Outage(_logger, self._supervisor, queue=self._queue)
        while True:
            try:
                worker = ids.worker_id(self._supervisor, self._starts)
                self._starts += 1
                LeaseKeeper(self._broker, self._supervisor, [self._queue]).register(worker)
                outage.over()
                return worker
            except (*CURABLE, *QUEUE_TROUBLE) as error:
                if self._stop.requested:
                    raise
                self._stop.wait(outage.failed(error))

    def _leave(self) -> None:
        """End the registration; whatever is still held, which is nothing after a calm end, goes back."""
        if not self._worker:
            return
        try:
            for shard in self._keeper.shards_of(self._queue):
                self._broker.requeue(shard, self._worker, Death("stopped"))
        except BizzMQError as error:
            log(
                _logger,
                logging.WARNING,
                "could not sign off, the lease returns what is held",
                error=str(error),
            )
        finally:
            self._worker = ""
            self._broker.connection.drop()

    def _keep(self) -> None:
        outage = Outage(_logger, self._supervisor)
        while not self._keeper_stop.requested:
            try:
                wait_s = self._keeper.tick()
                outage.over()
            except BizzMQError as error:
                wait_s = outage.failed(error)
            self._keeper_stop.wait(wait_s)
        self._strike_off()

    def _strike_off(self) -> None:
        try:
            self._keeper.leave()
        except BizzMQError as error:
            log(_logger, logging.DEBUG, "could not strike the consumer off", error=str(error))
        finally:
            self._keeper_broker.connection.drop()
