"""Stores what running messages record in the shared memory, for those who watch, and for the loss of this host."""

from __future__ import annotations

import contextlib
from typing import Callable, Mapping

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeathKind
from bizzmq.consumer.local_records import REFUSED
from bizzmq.errors import DecodeError
from bizzmq.protocol.envelope import decode_envelope
from bizzmq.protocol.records import NO_OUTPUT, KeptOutput, last_output
from bizzmq.utils import clock
from bizzmq.workers.ipc.records_area import Record
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.worker_exit import WorkerExit

INTERVAL_S = 0.5


class RecordKeeper:
    """Stores new progress and checkpoints of all slots, twice a second. Nothing is done while no handler records any.

    Args:
        slots: worker id -> the number of its slot, of the workers that live.
    """

    def __init__(self, broker: Broker, scoreboard: Scoreboard, slots: Callable[[], Mapping[str, int]]) -> None:
        self._broker, self._scoreboard, self._slots = broker, scoreboard, slots
        self._stored: dict[str, tuple[int, int]] = {}
        self._next_s = 0.0

    def tick(self) -> float:
        """Store what is new; returns the seconds until the next time."""
        now_s = clock.monotonic()
        if not self._scoreboard.has_records:
            return 2 * INTERVAL_S
        if now_s >= self._next_s:
            slots = self._slots()
            self._stored = {worker: numbers for worker, numbers in self._stored.items() if worker in slots}
            for worker, slot in slots.items():
                self._store(worker, slot)
            self._next_s = now_s + INTERVAL_S
        return max(0.0, self._next_s - now_s)

    def _store(self, worker: str, slot: int) -> None:
        area = self._scoreboard.slot(slot).records
        progress, checkpoint = area.progress(), area.checkpoint()
        before = self._stored.get(worker, (0, 0))
        found = (progress.number if progress else 0, checkpoint.number if checkpoint else 0)
        if progress is not None and found[0] != before[0]:
            store(self._broker, worker, progress=progress)
        if checkpoint is not None and found[1] != before[1]:
            store(self._broker, worker, checkpoint=checkpoint)
        self._stored[worker] = found


def store(broker: Broker, worker: str, *, progress: Record | None = None, checkpoint: Record | None = None) -> None:
    """Store a record, unless Redis refuses it. Raises BrokerUnavailableError."""
    record = progress or checkpoint
    assert record is not None
    try:
        broker.record(
            record.queue, worker, record.message_id, number=record.number,
            progress=progress.data if progress else b"", checkpoint=checkpoint.data if checkpoint else b"",
        )  # fmt: skip
    except REFUSED:
        return


def store_output(broker: Broker, worker: str, worker_exit: WorkerExit) -> None:
    """Store the output of the message that a dead worker was running, unless Redis refuses it.

    Raises:
        BrokerUnavailableError
    """
    data = last_output(worker_exit.output.encode("utf-8", "replace"))
    with contextlib.suppress(*REFUSED):
        ttl_s = _kept_for_s(broker, worker_exit)
        kept = KeptOutput(data, max(1, round(ttl_s * 1000))) if ttl_s else NO_OUTPUT
        broker.record(worker_exit.queue, worker, worker_exit.running, output=data, kept_output=kept)


def _kept_for_s(broker: Broker, worker_exit: WorkerExit) -> float:
    """How long the output stays after the message has ended, seconds: if that may be now, as long as its result."""
    envelope, _ = broker.stored(worker_exit.queue, worker_exit.running)
    try:
        properties = decode_envelope(worker_exit.running, worker_exit.queue, envelope or b"").properties
    except DecodeError:
        return 0.0
    if properties is None:
        return 0.0
    may_end = worker_exit.what is DeathKind.FAILED
    return max(properties.output_ttl_s, properties.result_ttl_s if may_end else 0.0)
