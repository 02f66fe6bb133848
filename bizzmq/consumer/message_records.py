"""The records of the message that a worker runs: where its handler keeps progress, checkpoints and output."""

from __future__ import annotations

import logging
import threading
from typing import Callable

from bizzmq.broker.broker import Broker
from bizzmq.consumer.hooks import ActivityRecorder
from bizzmq.errors import BrokerFullError, BrokerRefusesError, BrokerReplyError, CheckpointError
from bizzmq.message import Message
from bizzmq.protocol.records import (
    NO_OUTPUT,
    SMALL_BYTES,
    Checkpoint,
    KeptOutput,
    decode_checkpoint,
    encode_checkpoint,
)
from bizzmq.utils.logs import log
from bizzmq.worker_state import RecordKeeper

_logger = logging.getLogger("bizzmq.worker")


class MessageRecords(RecordKeeper):
    """Keeps progress and small checkpoints in the recorder of the worker's activity, and large ones in Redis.

    A small checkpoint costs a write to memory. Another process stores it within a second, and at the worker's death.
    Redis is asked in the thread that runs the handlers: its connection has no other user then. A handler in an event
    loop of another thread may ask, too, because the first thread waits for it.

    Args:
        version_of: the version of the task that runs a message.
        is_awaited: whether the running handler calls this in its event loop, while the thread of the handlers waits.
    """

    def __init__(
        self,
        broker: Broker,
        worker: str,
        activity: ActivityRecorder,
        version_of: Callable[[Message], int],
        is_awaited: Callable[[], bool],
    ) -> None:
        self._broker, self._worker, self._activity, self._version_of = broker, worker, activity, version_of
        self._is_awaited = is_awaited
        self._thread = threading.get_ident()
        self._message: Message | None = None
        self._checkpoint = Checkpoint()
        self._number = 0
        self._unsaved = b""
        self._output_lock = threading.Lock()

    def progress(self, message: Message, data: bytes) -> None:
        self._activity.record_progress(message.queue, message.id, data)

    def load(self, message: Message) -> Checkpoint:
        if self._message is not message:  # each delivery has a message of its own
            self._require_thread()
            stored = self._broker.checkpoint(message.queue, message.id)
            self._checkpoint = decode_checkpoint(stored, self._version_of(message))
            self._message, self._unsaved = message, b""
        return self._checkpoint

    def write_output(self, message: Message, delivery: int, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        with self._output_lock:
            self._activity.write_output(message.id, delivery, data)

    def keep_output(self, message: Message, delivery: int, ttl_s: float, *, has_failed: bool = False) -> None:
        """Store the output of a delivery that ends.

        Args:
            ttl_s: how long it is kept in any case, seconds; 0 for no such time.
            has_failed: keep it also with the message, as long as that is there.

        Raises:
            LeaseLostError, BrokerUnavailableError
        """
        data = self._activity.output(message.id, delivery)
        if not data:
            return
        kept = KeptOutput(data, max(1, round(ttl_s * 1000))) if ttl_s else NO_OUTPUT
        try:
            self._broker.record(
                message.queue, self._worker, message.id, output=data if has_failed else b"", kept_output=kept
            )
        except (BrokerFullError, BrokerReplyError, BrokerRefusesError) as error:
            log(_logger, logging.WARNING, "the output of a message is lost", id=message.id, error=str(error))

    def has_output(self, message: Message, delivery: int) -> bool:
        """Whether a delivery has written anything that is kept."""
        return bool(self._activity.output(message.id, delivery))

    def is_of(self, message: Message) -> bool:
        """Whether this delivery has a checkpoint."""
        return self._message is message

    def save(self, message: Message, checkpoint: Checkpoint) -> None:
        before = self.load(message)
        checkpoint = checkpoint._replace(version=before.version)
        data = encode_checkpoint(checkpoint)
        self._number += 1
        is_small = len(data) <= SMALL_BYTES
        if is_small and self._activity.record_checkpoint(message.queue, message.id, self._number, data):
            self._unsaved = data
        else:
            self._require_thread()
            self._activity.forget_checkpoint()
            self._store(message, data)
            self._unsaved = b""
        self._checkpoint = checkpoint

    def settle(self, message: Message) -> None:
        """Store the last checkpoint, because the message is about to go back.

        Raises:
            LeaseLostError, BrokerUnavailableError
        """
        if self._unsaved:
            try:
                self._store(message, self._unsaved)
            except (BrokerFullError, BrokerReplyError, BrokerRefusesError) as error:
                log(_logger, logging.WARNING, "the last checkpoint is lost", id=message.id, error=str(error))
        self._message, self._unsaved = None, b""
        self._activity.forget_checkpoint()

    def _store(self, message: Message, data: bytes) -> None:
        self._broker.record(message.queue, self._worker, message.id, checkpoint=data, number=self._number)

    def _require_thread(self) -> None:
        if threading.get_ident() != self._thread and not self._is_awaited():
            raise CheckpointError(
                "the first checkpoint of a message, and a large one, must be made by the handler itself: not by a "
                "thread that it has started, nor by a task that outlives it"
            )
