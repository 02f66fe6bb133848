"""Shared memory in which each worker notes what it is doing, at the price of a few memory writes.

It is how the supervisor knows, after a worker's death, whom to blame and what was finished but not acked
yet. Within a note the order of the writes matters, since SIGKILL may fall between any two: the finished id
is written before the state leaves RUNNING, and the running id before the state becomes RUNNING.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Callable

from bizzmq import clock
from bizzmq.loop import Leave
from bizzmq.record import Gate, Record

_HEADER_BYTES = 2048
_PAUSED_AT = 0
_WATCHED_AT = 1
_QUEUES_AT = 8
_UNTIL = struct.Struct("=d")
MAX_QUEUES = 200
_RECORD_BYTES = 128
_BEGIN = struct.Struct("=20sHHdd")  # running id, its delivery modulo 65536, how many come after it, start, deadline
_ID = struct.Struct("=20s")
_NONE = bytes(_ID.size)
_COUNT = struct.Struct("=Q")
_FINISHED_AT = 40
_HANDLED_AT = 64
_STATE_AT = 72
_QUEUE_AT = 73
_CPU_AT = 80
_LEAVE_AT = 74
_RECALLED_AT = 75
_FAILED_AT = 88
_LEAVES = list(Leave)


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
    """What a slot's record says. Monotonic seconds; a deadline of 0 is none. `cpu_deadline_s` is CPU time.

    `delivery` is that of the running message, modulo 65536; `rest` is how many were claimed with it and come after it.

    `handled` counts attempts that succeeded, `failed` those that did not, put back ones included.
    """

    activity: Activity
    running: str
    last_finished: str
    delivery: int
    rest: int
    started_s: float
    deadline_s: float
    queue_index: int
    handled: int
    failed: int
    cpu_deadline_s: float
    leave: Leave


class SlotRecord(Record):
    """The record of one slot: written by its worker, read by the supervisor and the janitor."""

    def __init__(self, memory: mmap.mmap, slot: int) -> None:
        self._memory = memory
        self._at = _HEADER_BYTES + slot * _RECORD_BYTES
        self._finished_at = self._at + _FINISHED_AT
        self._finished_end = self._finished_at + _ID.size
        self._handled_at = self._at + _HANDLED_AT
        self._state_at = self._at + _STATE_AT
        self._queue_at = self._at + _QUEUE_AT
        self._leave_at = self._at + _LEAVE_AT
        self._recalled_at = self._at + _RECALLED_AT
        self._failed_at = self._at + _FAILED_AT
        self._handled = self._failed = 0
        self._nudge: Callable[[], None] | None = None
        self._before_waiting: Callable[[], None] | None = None

    def reset(self) -> None:
        """Forget the worker that had this slot. Only while the slot has none."""
        self._memory[self._at : self._at + _RECORD_BYTES] = bytes(_RECORD_BYTES)
        self._handled = self._failed = 0

    def begin(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int
    ) -> None:
        _BEGIN.pack_into(self._memory, self._at, message_id, delivery & 0xFFFF, rest, started_s, deadline_s)
        self._memory[self._queue_at] = queue_index
        self._memory[self._state_at] = _RUNNING

    def finish(self, message_id: bytes) -> None:
        _ID.pack_into(self._memory, self._finished_at, message_id)
        self._memory[self._state_at] = _IDLE
        self._handled += 1
        _COUNT.pack_into(self._memory, self._handled_at, self._handled)

    def acked(self) -> None:
        self._memory[self._finished_at : self._finished_end] = _NONE

    def settling(self, message_id: bytes, queue_index: int) -> None:
        _ID.pack_into(self._memory, self._at, message_id)
        self._memory[self._queue_at] = queue_index
        self._memory[self._state_at] = _SETTLING
        self._failed += 1
        _COUNT.pack_into(self._memory, self._failed_at, self._failed)

    def set_cpu_deadline(self, at_s: float) -> None:
        """The CPU time of the process, in seconds, at which the running message has used up its share."""
        _UNTIL.pack_into(self._memory, self._at + _CPU_AT, at_s)

    def idle(self) -> None:
        self._memory[self._state_at] = _IDLE

    def nudge_by(self, nudge: Callable[[], None]) -> None:
        """How its worker tells the supervisor that it holds more than it runs, when nobody is looking."""
        self._nudge = nudge

    def before_waiting(self, action: Callable[[], None]) -> None:
        """What its worker does before it waits for a message."""
        self._before_waiting = action

    def waits(self) -> None:
        if self._before_waiting is not None:
            self._before_waiting()

    def holds_several(self) -> None:
        if not self._memory[_WATCHED_AT] and self._nudge is not None:
            self._nudge()

    @property
    def is_recalled(self) -> bool:  # type: ignore[override]
        return self._memory[self._recalled_at] != 0

    def recall(self) -> None:
        """Have its worker start nothing more of what it has claimed. It may be just starting something."""
        self._memory[self._recalled_at] = 1

    def claims(self) -> None:
        if self._memory[self._recalled_at]:
            self._memory[self._recalled_at] = 0

    def holds_back_s(self) -> float:
        """Since when it has run a message while others wait behind it; 0.0 if it does not. Monotonic seconds."""
        if self._memory[self._state_at] != _RUNNING:
            return 0.0
        _, _, rest, started_s, _ = _BEGIN.unpack_from(self._memory, self._at)
        return float(started_s) if rest else 0.0

    def left(self, leave: Leave) -> None:
        """The worker goes by its own decision. Nothing but this makes an exit an orderly one."""
        self._memory[self._leave_at] = _LEAVES.index(leave)
        self._memory[self._state_at] = Activity.LEFT

    def read(self) -> Snapshot:
        """What it says now."""
        running, delivery, rest, started_s, deadline_s = _BEGIN.unpack_from(self._memory, self._at)
        (finished,) = _ID.unpack_from(self._memory, self._finished_at)
        (cpu_deadline_s,) = _UNTIL.unpack_from(self._memory, self._at + _CPU_AT)
        (handled,) = _COUNT.unpack_from(self._memory, self._handled_at)
        (failed,) = _COUNT.unpack_from(self._memory, self._failed_at)
        return Snapshot(
            activity=Activity(self._memory[self._state_at]),
            running=_text(running),
            last_finished=_text(finished),
            delivery=delivery,
            rest=rest,
            started_s=started_s,
            deadline_s=deadline_s,
            queue_index=self._memory[self._queue_at],
            handled=handled,
            failed=failed,
            cpu_deadline_s=cpu_deadline_s,
            leave=_LEAVES[self._memory[self._leave_at]],
        )


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("utf-8", "replace")


class PoolGate(Gate):
    """What the supervisor tells all workers at once, read at each claim without a system call."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def set_paused(self, paused: bool) -> None:
        """Have no worker claim anything, or let all of them go on."""
        self._memory[_PAUSED_AT] = int(paused)

    @property
    def paused(self) -> bool:
        return bool(self._memory[_PAUSED_AT])

    def closed_until_s(self, index: int) -> float:
        """Until when nobody claims from a queue, by the monotonic clock; may be over."""
        (until_s,) = _UNTIL.unpack_from(self._memory, _QUEUES_AT + index * _UNTIL.size)
        return float(until_s)

    def close_queue(self, index: int, until_s: float) -> None:
        """Have no worker claim from a queue before a moment of the monotonic clock."""
        _UNTIL.pack_into(self._memory, _QUEUES_AT + index * _UNTIL.size, until_s)

    def is_open(self, queue_index: int) -> bool:
        if self._memory[_PAUSED_AT]:
            return False
        (until_s,) = _UNTIL.unpack_from(self._memory, _QUEUES_AT + queue_index * _UNTIL.size)
        return bool(until_s <= 0.0 or clock.monotonic() >= until_s)


class Scoreboard:
    """The records of all slots, and the gate, in memory that is shared across fork."""

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, _HEADER_BYTES + slots * _RECORD_BYTES)
        self.gate = PoolGate(self._memory)

    @property
    def is_watched(self) -> bool:
        """Whether the supervisor looks at the records again within milliseconds."""
        return bool(self._memory[_WATCHED_AT])

    def set_watched(self, *, watched: bool) -> None:
        """Tell workers whether they have to say that they hold more than one message."""
        self._memory[_WATCHED_AT] = int(watched)

    def slot(self, index: int) -> SlotRecord:
        return SlotRecord(self._memory, index)
