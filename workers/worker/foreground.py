"""`bizzmq-worker --debug`: one worker in the foreground, so that `breakpoint()` has a prompt.

Everything runs in this process, on its terminal, in its main thread: there is no template, no supervisor and no limit.
A missing queue is created, as by a pool. This is for one developer at one terminal: a message that kills the process is
requeued when its lease expires.
"""

from __future__ import annotations

import bdb
import logging
import signal
from types import FrameType
from typing import Callable

from bizzmq.admin import create
from bizzmq.app.description import AppDescription
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.connection.url import check_url
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.consumer.options import ConsumerOptions
from bizzmq.embedded import server as embedded
from bizzmq.errors import ConfigurationError, Draining
from bizzmq.queue import QueueOptions
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.worker import handler_import
from bizzmq.workers.worker.description import completed

_logger = logging.getLogger("bizzmq.worker")


class _DebuggedHandler(Handler):
    """A handler under a debugger. Quitting the debugger stops the worker and does not count as a failed attempt."""

    on_quit: Callable[[], None] = staticmethod(lambda: None)

    def failure_of(self, error: BaseException) -> BaseException:
        failure = super().failure_of(error)
        if not isinstance(failure, bdb.BdbQuit):
            return failure
        self.on_quit()
        return Draining("the debugger was left")


def run(config: WorkerConfig) -> None:
    """Run messages until SIGINT or SIGTERM, until the debugger is quit, or with `burst` until the queue is empty.

    A second SIGINT interrupts the handler.

    Raises:
        ConfigurationError: there is more than one queue, or the handler does not exist.
        HandlerImportError: its module raised.
        BizzMQError: Redis cannot be used.
    """
    function = handler_import.load(config, for_pool=False)
    app = handler_import.description_of(function)
    if app is not None:
        config = completed(config, AppDescription.of_data(app))
        function.serve(config.redis_url, config.unknown_task_limit_s)
    if len(config.queues) != 1:
        of_app = "" if app is None else f" (the app has {', '.join(config.queues)})"
        raise ConfigurationError(f"--debug works on one queue: name it with -q{of_app}")
    debugged = _DebuggedHandler(function)
    server = embedded.join(config.redis_url) if embedded.is_embedded(config.redis_url) else None
    try:
        _consume(config, server.url if server else check_url(config.redis_url), debugged)
    finally:
        if server is not None:
            server.close()


def _consume(config: WorkerConfig, url: str, debugged: _DebuggedHandler) -> None:
    (queue,) = config.queues
    _create(url, queue, None if config.description is None else config.description.options_of(queue))
    consumer = InProcessConsumer(
        lambda: Broker(connect(url)), queue, debugged,
        LeaseOptions(beat_s=config.beat_s, lease_s=config.lease_s, scan_s=config.scan_s),
        config.sealer(),
        ConsumerOptions(prefetch=1, block_s=config.block_s, burst=config.burst),
    )  # fmt: skip
    debugged.on_quit = consumer.ask_to_stop
    _stop_on_signals(consumer)
    log(_logger, logging.INFO, "debugging: one worker in the foreground, without limits", queue=queue)
    debugged.boot()
    try:
        consumer.run_here()
    finally:
        debugged.shut_down()
        debugged.close()


def _stop_on_signals(consumer: InProcessConsumer) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log(_logger, logging.INFO, "leaving after the running message; once more interrupts it")
        consumer.ask_to_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _create(url: str, queue: str, declared: QueueOptions | None) -> None:
    connection = connect(url)
    try:
        broker = Broker(connection)
        if declared is not None:
            is_new = create.create(broker, queue, declared)
        elif broker.exists(queue):
            return
        else:
            is_new = broker.create(queue, QueueOptions(config_dead_letter_queue=True), implicit=True)
        if is_new:
            log(_logger, logging.INFO, "queue did not exist and was created", queue=queue)
    finally:
        connection.drop()
