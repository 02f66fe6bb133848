"""`bizzmq-worker --debug`: one worker in the foreground, so that `breakpoint()` has a prompt.

Everything happens in this process, on its terminal, in its main thread: no template, no supervisor, no limits. A queue
that is missing is created as by a pool. It is for one developer at one terminal; a message that ends it goes back when
its lease is over.
"""

from __future__ import annotations

import logging
import signal
from types import FrameType

from bizzmq import embedded, handler
from bizzmq.background import BackgroundConsumer
from bizzmq.broker import Broker
from bizzmq.connections import connect
from bizzmq.errors import ConfigurationError
from bizzmq.lease import LeaseOptions
from bizzmq.logs import log
from bizzmq.loop import ConsumerOptions
from bizzmq.queue import QueueOptions
from bizzmq.signing import Signer, decoder
from bizzmq.url import check_url
from bizzmq.workers.config import WorkerConfig

_logger = logging.getLogger("bizzmq.worker")


def run(config: WorkerConfig) -> None:
    """Work until SIGINT or SIGTERM, or with `burst` until the queue is empty. A second SIGINT interrupts the handler.

    Raises:
        ConfigurationError: more than one queue, or no such handler.
        HandlerImportError: its module raised.
        BizzMQError: Redis cannot be used.
    """
    if len(config.queues) != 1:
        raise ConfigurationError("--debug works on one queue: name it with -q")
    function = handler.load(config.handler) if isinstance(config.handler, str) else config.handler
    server = embedded.join(config.redis_url) if embedded.is_embedded(config.redis_url) else None
    url = server.url if server else check_url(config.redis_url)
    (queue,) = config.queues
    try:
        _create(url, queue)
        consumer = BackgroundConsumer(
            lambda: Broker(connect(url)), queue, function,
            LeaseOptions(beat_s=config.beat_s, lease_s=config.lease_s, scan_s=config.scan_s),
            decoder(Signer(config.signing_keys) if config.signing_keys else None),
            ConsumerOptions(prefetch=1, block_s=config.block_s, burst=config.burst),
        )  # fmt: skip

        def ask(_number: int, _frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            log(_logger, logging.INFO, "leaving after the running message; once more interrupts it")
            consumer.ask_to_stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask)
        log(_logger, logging.INFO, "debugging: one worker in the foreground, without limits", queue=queue)
        consumer.run_here()
    finally:
        if server is not None:
            server.close()


def _create(url: str, queue: str) -> None:
    connection = connect(url)
    try:
        broker = Broker(connection)
        if not broker.exists(queue):
            broker.create(queue, QueueOptions(config_dead_letter_queue=True), implicit=True)
            log(_logger, logging.INFO, "queue did not exist and was created", queue=queue)
    finally:
        connection.drop()
