"""The activity of one slot, in shared memory: what its worker runs and has finished. A note is a few memory writes.

After a worker's death, the supervisor reads there which message was running, and what was finished but not acked yet.
Within a note the order of the writes matters, since SIGKILL may fall between any two: the finished id is written before
the state leaves RUNNING, and the running id before the state becomes RUNNING. A result is written before the finished
id. It has a checksum, so half of one is no result.

A handler's C code may overwrite this memory. What is read is then wrong, but always possible.
"""

from __future__ import annotations

import mmap
import signal
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Callable, Dict

from bizzmq.consumer.hooks import ActivityRecorder
from bizzmq.consumer.options import ExitReason
from bizzmq.metrics.table import MetricsTable, possible
from bizzmq.protocol.results import KeptResult
from bizzmq.workers.ipc.captured_output import CapturedOutput
from bizzmq.workers.ipc.output_area import OutputArea
from bizzmq.workers.ipc.pool_header import HAS_RECORDS_AT, HEADER_BYTES, WATCHED_AT
from bizzmq.workers.ipc.records_area import RecordsArea
from bizzmq.workers.ipc.results_area import ResultsArea

SLOT_BYTES = 192
_SECONDS = struct.Struct("=d")
_BEGIN = struct.Struct("=20sHHddx")  # running id, its delivery modulo 65536, how many come after it, start, deadline
_BEGIN_TASK = struct.Struct("=20sHHdd64s")  # the same, and the end of the name of its task: none for a plain message
_TASK_BYTES, _TASK_AT = 64, 40
_MOST_NAMES = 1000
_LONGEST_S = 1e10
"""More than a host is up, and less than a date can be."""
_ID = struct.Struct("=20s")
_NONE = bytes(_ID.size)
_COUNT = struct.Struct("=Q")
_FINISHED_AT = 104
_HANDLED_AT = 128
_STATE_AT = 136
_QUEUE_AT = 137
_EXIT_REASON_AT = 138
_RELEASE_REQUESTED_AT = 139
_CPU_AT = 144
_FAILED_AT = 152
_CANCEL_AT = 160
_CANCEL = struct.Struct("=20sH")  # id of a message, its delivery modulo 65536
_EXIT_REASONS = list(ExitReason)
MOST_QUEUES = 256
"""What one byte can count."""
REMINDER = signal.SIGWINCH
"""The signal after which a worker looks whether its message is cancelled, or has passed a limit."""


class Activity(IntEnum):
    """What a worker is doing."""

    BOOTING = 0
    IDLE = 1
    RUNNING = 2
    SETTLING = 3
    LEFT = 4


_IDLE, _RUNNING, _SETTLING = int(Activity.IDLE), int(Activity.RUNNING), int(Activity.SETTLING)  # faster to look up


@dataclass(frozen=True)
class Snapshot:
    """The activity of a slot at one moment. Times are monotonic seconds.

    Attributes:
        running: id of the message that is running, or was the last to run.
        task: the last 64 bytes of the name of its task; "" for a plain message.
        last_finished: id of the last message that is finished and not acked yet, or "".
        delivery: number of the running message's delivery, modulo 65536.
        rest: how many messages were claimed with the running one and come after it.
        deadline_s: when the running message reaches its time limit; 0 for none.
        handled: attempts that succeeded.
        failed: attempts that did not succeed, also those whose message was released.
        cpu_deadline_s: the CPU time of the process at which the running message reaches its limit; 0 for none.
    """

    activity: Activity
    running: str
    task: str
    last_finished: str
    delivery: int
    rest: int
    started_s: float
    deadline_s: float
    queue_index: int
    handled: int
    failed: int
    cpu_deadline_s: float
    exit_reason: ExitReason


class SlotActivity(ActivityRecorder):
    """What the worker in one slot does: written by the worker, read by the supervisor and the janitor."""

    def __init__(
        self, memory: mmap.mmap, slot: int, results_at: int, records_at: int, output_at: int, metrics: MetricsTable,
        captured: CapturedOutput | None = None, queues: int = MOST_QUEUES,
    ) -> None:  # fmt: skip
        self._memory, self._queues = memory, queues
        self.metrics = self.table = metrics
        self._results = ResultsArea(memory, results_at)
        self.records = RecordsArea(memory, records_at)
        self._output = OutputArea(memory, output_at)
        self.captured = captured
        self._at = HEADER_BYTES + slot * SLOT_BYTES
        self._finished_at = self._at + _FINISHED_AT
        self._finished_end = self._finished_at + _ID.size
        self._handled_at = self._at + _HANDLED_AT
        self._state_at = self._at + _STATE_AT
        self._queue_at = self._at + _QUEUE_AT
        self._exit_reason_at = self._at + _EXIT_REASON_AT
        self._release_requested_at = self._at + _RELEASE_REQUESTED_AT
        self._failed_at = self._at + _FAILED_AT
        self._cancel_at = self._at + _CANCEL_AT
        self._handled = self._failed = 0
        self._names: Dict[str, bytes] = {"": b""}
        self._report_holding: Callable[[], None] | None = None
        self._before_waiting: Callable[[], None] | None = None

    def reset(self) -> None:
        """Forget the worker that had this slot. Call it only while the slot has no worker."""
        self._memory[self._at : self._at + SLOT_BYTES] = bytes(SLOT_BYTES)
        self._results.clear()
        self.records.clear()
        self._output.clear()
        self._handled = self._failed = 0

    def begin(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int
    ) -> None:
        _BEGIN.pack_into(self._memory, self._at, message_id, delivery & 0xFFFF, rest, started_s, deadline_s)
        self._memory[self._queue_at] = queue_index
        self._memory[self._state_at] = _RUNNING

    def begin_task(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int,
        task: str,
    ) -> None:  # fmt: skip
        name = self._names.get(task) or self._name_of(task)
        _BEGIN_TASK.pack_into(self._memory, self._at, message_id, delivery & 0xFFFF, rest, started_s, deadline_s, name)
        self._memory[self._queue_at] = queue_index
        self._memory[self._state_at] = _RUNNING

    def _name_of(self, task: str) -> bytes:
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()  # forged ones
        name = self._names[task] = task.encode("utf-8", "replace")[-_TASK_BYTES:]
        return name

    def finish(self, message_id: bytes) -> None:
        _ID.pack_into(self._memory, self._finished_at, message_id)
        self._memory[self._state_at] = _IDLE
        self._handled += 1
        _COUNT.pack_into(self._memory, self._handled_at, self._handled)

    def store_result(self, message_id: bytes, kept: KeptResult) -> bool:
        return self._results.add(message_id, kept)

    def finishing(self, message_id: bytes, queue_index: int) -> None:
        _ID.pack_into(self._memory, self._at, message_id)
        self._memory[self._queue_at] = queue_index
        self._memory[self._state_at] = _SETTLING

    def results(self) -> Dict[str, KeptResult]:
        """The results of messages that are finished and not acked yet, by id; perhaps of some that are acked, too."""
        return self._results.read()

    def record_progress(self, queue: str, message_id: str, data: bytes) -> None:
        self.records.write_progress(queue, message_id, data)
        self._memory[HAS_RECORDS_AT] = 1

    def record_checkpoint(self, queue: str, message_id: str, number: int, data: bytes) -> bool:
        self.records.write_checkpoint(queue, message_id, number, data)
        self._memory[HAS_RECORDS_AT] = 1
        return True

    def forget_checkpoint(self) -> None:
        self.records.forget_checkpoint()

    def write_output(self, message_id: str, delivery: int, data: bytes) -> None:
        running, now, *_ = _BEGIN.unpack_from(self._memory, self._at)
        is_running = self._memory[self._state_at] == _RUNNING
        if is_running and _text(running) == message_id and now == delivery & 0xFFFF:
            self._output.write(message_id, delivery, self.captured.placed(data) if self.captured else data)

    def output(self, message_id: str, delivery: int) -> bytes:
        lines = self._output.read(message_id, delivery)
        return self.captured.merged(message_id, delivery, lines) if self.captured else lines

    def acked(self) -> None:
        self._memory[self._finished_at : self._finished_end] = _NONE
        self._results.begin()

    def settling(self, message_id: bytes, queue_index: int) -> None:
        _ID.pack_into(self._memory, self._at, message_id)
        self._memory[self._queue_at] = queue_index
        self._memory[self._state_at] = _SETTLING
        self._failed += 1
        _COUNT.pack_into(self._memory, self._failed_at, self._failed)

    def set_cpu_deadline(self, at_s: float) -> None:
        """Note the CPU time of the process, in seconds, at which the running message reaches its limit."""
        _SECONDS.pack_into(self._memory, self._at + _CPU_AT, at_s)

    def idle(self) -> None:
        self._memory[self._state_at] = _IDLE

    def on_holding_unwatched(self, action: Callable[[], None]) -> None:
        """Call this when the worker holds more than it runs and the supervisor does not watch."""
        self._report_holding = action

    def before_waiting(self, action: Callable[[], None]) -> None:
        """Call this before the worker waits for a message."""
        self._before_waiting = action

    def waits(self) -> None:
        if self._before_waiting is not None:
            self._before_waiting()

    def holds_several(self) -> None:
        if not self._memory[WATCHED_AT] and self._report_holding is not None:
            self._report_holding()

    @property
    def is_release_requested(self) -> bool:  # type: ignore[override]
        return self._memory[self._release_requested_at] != 0

    def request_release(self) -> None:
        """Have the worker start nothing more of what it has claimed. It may be starting a message at this moment."""
        self._memory[self._release_requested_at] = 1

    def request_cancel(self, message_id: str, delivery: int) -> None:
        """Have this delivery of a message cancelled. The worker looks when it is signalled."""
        _CANCEL.pack_into(self._memory, self._cancel_at, message_id.encode(), delivery & 0xFFFF)

    def is_cancel_requested(self, message_id: str, delivery: int) -> bool:
        """Whether the cancel of this delivery of a message is requested."""
        asked_id, asked_delivery = _CANCEL.unpack_from(self._memory, self._cancel_at)
        return _text(asked_id) == message_id and asked_delivery == delivery & 0xFFFF

    def claims(self) -> None:
        if self._memory[self._release_requested_at]:
            self._memory[self._release_requested_at] = 0

    def holds_back_s(self) -> float:
        """Since when it has run a message while others wait behind it; 0.0 if none wait. Monotonic seconds."""
        if self._memory[self._state_at] != _RUNNING:
            return 0.0
        _, _, rest, started_s, _ = _BEGIN.unpack_from(self._memory, self._at)
        return float(started_s) if rest else 0.0

    def left(self, reason: ExitReason) -> None:
        """Note that the worker exits by its own decision. Only this makes an exit an orderly one."""
        self._memory[self._exit_reason_at] = _EXIT_REASONS.index(reason)
        self._memory[self._state_at] = Activity.LEFT

    def read(self) -> Snapshot:
        """The activity at this moment."""
        running, delivery, rest, started_s, deadline_s = _BEGIN.unpack_from(self._memory, self._at)
        (finished,) = _ID.unpack_from(self._memory, self._finished_at)
        (cpu_deadline_s,) = _SECONDS.unpack_from(self._memory, self._at + _CPU_AT)
        (handled,) = _COUNT.unpack_from(self._memory, self._handled_at)
        (failed,) = _COUNT.unpack_from(self._memory, self._failed_at)
        state, exit_reason = self._memory[self._state_at], self._memory[self._exit_reason_at]
        return Snapshot(
            activity=Activity(state) if state <= Activity.LEFT else Activity.RUNNING,
            running=_text(running),
            task=self._memory[self._at + _TASK_AT : self._at + _TASK_AT + _TASK_BYTES]
            .partition(b"\0")[0]
            .decode("utf-8", "ignore"),
            last_finished=_text(finished),
            delivery=delivery,
            rest=rest,
            started_s=possible(started_s, _LONGEST_S),
            deadline_s=possible(deadline_s, _LONGEST_S),
            queue_index=min(self._memory[self._queue_at], self._queues - 1),
            handled=handled,
            failed=failed,
            cpu_deadline_s=possible(cpu_deadline_s, _LONGEST_S),
            exit_reason=_EXIT_REASONS[min(exit_reason, len(_EXIT_REASONS) - 1)],
        )


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("utf-8", "replace")
