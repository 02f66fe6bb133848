"""The hooks for the workers that have died: a dead worker cannot speak, so a new one does."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Sequence

from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.middleware.base import WorkerCrash
from bizzmq.middleware.chain import HandlerChain
from bizzmq.properties import MessageProperties
from bizzmq.protocol.sealing import Decode
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.worker")


def call(chain: HandlerChain | None, crashes: Sequence[WorkerCrash], url: str, decode: Decode) -> None:
    """Call `on_worker_crash` for each crash, with task and headers of its message if Redis still has them.

    Args:
        decode: reads an envelope.
    """
    if chain is None or not crashes or not chain.hears_of_crashes:
        return
    broker = Broker(connect(url))
    is_away = False
    for crash in crashes:
        properties = None
        if crash.message_id and not is_away:
            try:
                properties = _properties(broker, crash, decode)
            except BizzMQError as error:  # the hooks are called nevertheless
                is_away = True
                log(_logger, logging.WARNING, "cannot read the message of a worker that has died",
                    id=crash.message_id, error=str(error))  # fmt: skip
        if properties is not None:
            crash = replace(crash, task=properties.task, headers=properties.headers)  # noqa: PLW2901 - the same crash
        chain.worker_crashed(crash)
    broker.connection.drop()


def _properties(broker: Broker, crash: WorkerCrash, decode: Decode) -> MessageProperties | None:
    """The properties of the crash's message, which may have been dead-lettered meanwhile; None if it is gone."""
    keys = broker.keys(crash.queue)
    for queue in [crash.queue] if keys.is_dead_letter_queue else [crash.queue, keys.dead_letters().queue]:
        envelope, _ = broker.stored(queue, crash.message_id)
        if envelope is not None:
            try:
                return decode(crash.message_id, queue, envelope).properties
            except DecodeError:
                return None
    return None
