"""Progress and small checkpoints of a consumer in the caller's process, which its lease thread stores."""

from __future__ import annotations

import contextlib
from typing import Callable, NamedTuple

from bizzmq.broker.broker import Broker
from bizzmq.consumer.hooks import ActivityRecorder
from bizzmq.errors import BrokerFullError, BrokerRefusesError, BrokerReplyError, LeaseLostError
from bizzmq.protocol.records import OUTPUT_BYTES, last_output
from bizzmq.utils import clock

_INTERVAL_S = 0.5
IDLE_S = 60.0
"""Until the next look if there is nothing to store; a new record wakes the thread that stores."""
REFUSED = (BrokerFullError, BrokerReplyError, BrokerRefusesError, LeaseLostError)
"""Errors of a record that Redis does not keep: its message goes on, and a later record may be kept."""


class _Record(NamedTuple):
    queue: str
    message_id: str
    data: bytes
    number: int = 0


class LocalRecords(ActivityRecorder):
    """Keeps the last records until another thread stores them, at most twice a second.

    What cannot be stored since Redis is away is stored once it is back, unless a newer record has replaced it. The
    thread that records writes the records, the thread that stores writes which of them are stored: so neither loses
    what the other one does meanwhile.

    Args:
        wake: wakes that thread.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._progress: _Record | None = None
        self._checkpoint: _Record | None = None
        self._stored_progress: _Record | None = None
        self._stored_checkpoint: _Record | None = None
        self._next_s = 0.0
        self._output_of: tuple[str, int] | None = None
        self._output, self._is_output_cut = bytearray(), False

    def record_progress(self, queue: str, message_id: str, data: bytes) -> None:
        is_first = not _is_new(self._progress, self._stored_progress)
        self._progress = _Record(queue, message_id, data)
        if is_first:
            self._wake()

    def record_checkpoint(self, queue: str, message_id: str, number: int, data: bytes) -> bool:
        is_first = not _is_new(self._checkpoint, self._stored_checkpoint)
        self._checkpoint = _Record(queue, message_id, data, number)
        if is_first:
            self._wake()
        return True

    def forget_checkpoint(self) -> None:
        self._checkpoint = None

    def write_output(self, message_id: str, delivery: int, data: bytes) -> None:
        if self._output_of != (message_id, delivery):
            if not self.runs(message_id, delivery):
                return
            self._output_of, self._output, self._is_output_cut = (message_id, delivery), bytearray(), False
        self._output += data
        if len(self._output) > 2 * OUTPUT_BYTES:
            del self._output[:-OUTPUT_BYTES]
            self._is_output_cut = True

    def output(self, message_id: str, delivery: int) -> bytes:
        if self._output_of != (message_id, delivery):
            return b""
        return last_output(bytes(self._output), is_cut=self._is_output_cut)

    def runs(self, message_id: str, delivery: int) -> bool:
        """Whether this delivery runs now."""
        raise NotImplementedError  # the subclasses know what runs

    def store(self, broker: Broker, worker: str) -> float:
        """Store what is new; returns the seconds until the next time. Raises BrokerUnavailableError."""
        progress, checkpoint = self._progress, self._checkpoint
        is_progress_new = _is_new(progress, self._stored_progress)
        is_checkpoint_new = _is_new(checkpoint, self._stored_checkpoint)
        if not is_progress_new and not is_checkpoint_new:
            return IDLE_S
        now_s = clock.monotonic()
        if now_s < self._next_s:
            return self._next_s - now_s
        self._next_s = now_s + _INTERVAL_S
        if progress is not None and is_progress_new:
            _store(broker, worker, progress, progress=progress.data)
            self._stored_progress = progress
        if checkpoint is not None and is_checkpoint_new:
            _store(broker, worker, checkpoint, checkpoint=checkpoint.data)
            self._stored_checkpoint = checkpoint
        return _INTERVAL_S


def _is_new(record: _Record | None, stored: _Record | None) -> bool:
    """Whether a record has not been stored. Equal ones differ: a worker that registers anew counts anew."""
    return record is not None and record is not stored


def _store(broker: Broker, worker: str, record: _Record, *, progress: bytes = b"", checkpoint: bytes = b"") -> None:
    """Store a record. If Redis refuses it, its message goes on, and a later one may be stored."""
    with contextlib.suppress(*REFUSED):
        broker.record(
            record.queue, worker, record.message_id, progress=progress, checkpoint=checkpoint, number=record.number
        )
