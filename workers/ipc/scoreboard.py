"""The scoreboard: shared memory in which each worker notes what it is doing. Supervisor and janitor read it."""

from __future__ import annotations

import mmap

from bizzmq.metrics.reporter import LEDGER_BYTES, Ledger
from bizzmq.metrics.table import MetricsTable, size_of
from bizzmq.workers.ipc.captured_output import CAPTURE_AREA_BYTES, CapturedOutput, capture_files
from bizzmq.workers.ipc.output_area import OUTPUT_AREA_BYTES
from bizzmq.workers.ipc.pool_header import DRAINING_AT, HAS_RECORDS_AT, HEADER_BYTES, WATCHED_AT, PoolGate
from bizzmq.workers.ipc.records_area import RECORDS_BYTES
from bizzmq.workers.ipc.results_area import RESULTS_BYTES
from bizzmq.workers.ipc.slot_activity import MOST_QUEUES, SLOT_BYTES, SlotActivity

_ALIGNED = 64
_METRICS_BYTES = size_of()


class Scoreboard:
    """The activities of all slots, and the gate, in memory that is shared across fork."""

    def __init__(self, slots: int, queues: int = MOST_QUEUES, *, captures: bool = False) -> None:
        self._results_at = HEADER_BYTES + slots * SLOT_BYTES
        self._records_at = self._results_at + slots * RESULTS_BYTES
        self._output_at = self._records_at + slots * RECORDS_BYTES
        self._captured_at = self._output_at + slots * OUTPUT_AREA_BYTES
        self._metrics_at = -(-(self._captured_at + slots * CAPTURE_AREA_BYTES) // _ALIGNED) * _ALIGNED
        self._ledger_at = self._metrics_at + slots * _METRICS_BYTES
        self._slots, self._queues = slots, queues
        self._memory = mmap.mmap(-1, self._ledger_at + LEDGER_BYTES)
        self._files = capture_files(slots) if captures else []
        self.gate = PoolGate(self._memory)

    @property
    def is_watched(self) -> bool:
        """Whether the supervisor reads all activities again within milliseconds."""
        return bool(self._memory[WATCHED_AT])

    def set_watched(self, *, watched: bool) -> None:
        """Set whether workers need not report that they hold more than one message."""
        self._memory[WATCHED_AT] = int(watched)

    @property
    def is_draining(self) -> bool:
        """Whether the pool has to end."""
        return bool(self._memory[DRAINING_AT])

    def set_draining(self) -> None:
        """Note that the pool has to end."""
        self._memory[DRAINING_AT] = 1

    def slot(self, index: int) -> SlotActivity:
        """The activity of one slot."""
        results_at, records_at = self._results_at + index * RESULTS_BYTES, self._records_at + index * RECORDS_BYTES
        output_at = self._output_at + index * OUTPUT_AREA_BYTES
        metrics, captured = self.metrics(index), self._captured(index)
        return SlotActivity(self._memory, index, results_at, records_at, output_at, metrics, captured, self._queues)

    def metrics(self, index: int) -> MetricsTable:
        """What the workers of one slot have measured. It outlives each of them."""
        at = self._metrics_at + index * _METRICS_BYTES
        return MetricsTable(memoryview(self._memory)[at : at + _METRICS_BYTES])

    def all_metrics(self) -> list[MetricsTable]:
        """What the workers of all slots have measured."""
        return [self.metrics(index) for index in range(self._slots)]

    def ledger(self) -> Ledger:
        """What of it is reported to Redis."""
        return Ledger.in_buffer(memoryview(self._memory)[self._ledger_at : self._ledger_at + LEDGER_BYTES])

    def _captured(self, index: int) -> CapturedOutput | None:
        if not self._files:
            return None
        return CapturedOutput(self._memory, self._captured_at + index * CAPTURE_AREA_BYTES, self._files[index])

    def captured(self) -> list[CapturedOutput]:
        """What each slot has captured; empty if the pool captures nothing."""
        return [one for one in map(self._captured, range(len(self._files))) if one is not None]

    @property
    def has_records(self) -> bool:
        """Whether any handler of this pool has ever recorded progress or a checkpoint."""
        return bool(self._memory[HAS_RECORDS_AT])
