"""Measures what one worker runs, at the price of a few instructions for each claim.

Consecutive messages of one task, and with the same key or none, that are short are a series: they are noted together,
with their mean time, once they have run for a few milliseconds or the worker waits. A message that takes long ends its
claim, so its own time is known, and it is noted at once. See docs/internals/decisions/0101-metrics-in-shared-memory.md.
"""

from __future__ import annotations

import math
import resource
import sys
from bisect import bisect_left
from typing import Any, Sequence, Tuple

from bizzmq.metrics.columns import BOUNDS_S, CPU, KEY_PREFIX, MEMORY, OTHER, OUTCOMES, RUN, WAIT
from bizzmq.metrics.table import MetricsTable
from bizzmq.utils import clock

SHORT_S = 0.001
"""The part of a claim that takes no longer is short."""
SERIES_S = 0.005
"""A series that has run for this time is noted."""
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
_UNTRIED = b"0 0 0"
_TIME_DIGITS = 13
_SUCCEEDED = 0
_INDEX_OF = {name: index for index, name in enumerate(OUTCOMES)}
_Claim = Tuple[int, Sequence[Any], float]


class NoMeter:
    """Measures nothing.

    Attributes:
        claim: the index of the queue, the entries, and when the first one began. Set it when a claim begins.
    """

    claim: _Claim = (0, (), 0.0)

    def switch(self, task: str, now_s: float, left: int, key: str = "") -> None: ...

    def fail(self, outcome: str, started_s: float, left: int, *, ran: bool = True) -> None: ...

    def resume(self, now_s: float, left: int) -> None: ...

    def end(self, last_s: float, now_s: float, done: int) -> None: ...

    def flush(self) -> None: ...

    def woke(self) -> None: ...


class Meter(NoMeter):
    """Measures the messages of one worker's claims. Times are monotonic seconds.

    Args:
        table: where the measures go.
        owns_process: whether the processor time and the memory of the whole process belong to the messages. Otherwise
            the thread's processor time counts, and no memory.
    """

    def __init__(self, table: MetricsTable, *, owns_process: bool = True) -> None:
        self._table = table
        self._who = resource.RUSAGE_SELF if owns_process else getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
        self._owns_process = owns_process
        self._queue = 0
        self._task = self._key_row = ""
        self._count, self._run_s = 0, 0.0  # of the series that is not noted yet
        self._first: Any = None
        self._first_s = 0.0
        self._last: Tuple[Sequence[Any], int, float] = ((), 0, 0.0)  # entries, the number of the last one, its start
        self._part: Tuple[int, float] | None = None  # where the unfinished part of a claim begins, if not at its start
        self._peak = 0
        self._cpu_s = 0.0
        self._newly_used_s()

    def switch(self, task: str, now_s: float, left: int, key: str = "") -> None:
        """A message of another task or with another key begins; `left` messages of the claim have not ended."""
        self._end_part(math.nan, now_s, left)
        self.flush()
        self._task, self._part = task, (left, now_s)
        self._key_row = KEY_PREFIX + key if key else ""

    def fail(self, outcome: str, started_s: float, left: int, *, ran: bool = True) -> None:
        """A message has not succeeded. Call `resume` when the next one begins.

        Args:
            started_s: when it began; the messages of its claim before it are noted already, or have succeeded.
            left: how many messages of the claim follow it.
            ran: whether a handler has seen it.
        """
        if ran:
            now_s = clock.monotonic()
            self._end_part(math.nan, started_s, left + 1)
            used_s = self._note_series(self._newly_used_s())
            self._note(1, now_s - started_s, used_s, _INDEX_OF[outcome])
            index = len(self.claim[1]) - left - 1
            self._note_wait(self.claim[1][index], started_s, 1)
        else:
            self._end_part(math.nan, started_s, left + 1)
            self._table.cells[self._table.row(self.claim[0], OTHER) + _INDEX_OF[outcome]] += 1

    def resume(self, now_s: float, left: int) -> None:
        """The outcome of a failed message is sent, and the next one of the claim begins."""
        self._part = left, now_s
        self._newly_used_s()

    def end(self, last_s: float, now_s: float, done: int) -> None:
        """A claim has ended.

        Args:
            last_s: when its last message began.
            done: how many messages of it were started.
        """
        queue, entries, started_s = self.claim
        elapsed_s = now_s - started_s
        if elapsed_s < SHORT_S and self._count and queue == self._queue and self._part is None:
            self._count += done
            self._run_s += elapsed_s
            self._last = entries, done, last_s
            if self._run_s > SERIES_S:
                self.flush()
        else:
            self._end_part(last_s, now_s, len(entries) - done)

    def _end_part(self, last_s: float, now_s: float, left: int) -> None:
        """A claim, or the part of it that is measured together, has ended.

        Args:
            last_s: when its last message began; NaN if that is not known.
            left: how many messages of the claim were not part of it.
        """
        queue, entries, started_s = self.claim
        before = len(entries)
        if self._part is not None:
            (before, started_s), self._part = self._part, None
        count, elapsed_s = before - left, now_s - started_s
        if queue != self._queue:
            self.flush()
            self._queue = queue
        if count <= 0:
            return
        if not self._count:
            self._first, self._first_s = entries[-before], started_s
        if elapsed_s >= SHORT_S:
            self._end_long(count, started_s, last_s, now_s, left)
            return
        self._count += count
        self._run_s += elapsed_s
        self._last = entries, len(entries) - left, last_s
        if self._run_s > SERIES_S:
            self.flush()

    def _end_long(self, count: int, started_s: float, last_s: float, now_s: float, left: int) -> None:
        """Note a claim that took long: its last message by itself, if that is known."""
        if now_s == math.inf:
            now_s = clock.monotonic()
        entries = self.claim[1]
        if math.isnan(last_s) or count == 1:
            last_s = now_s - (now_s - started_s) / count
        if count > 1:
            self._count += count - 1
            self._run_s += last_s - started_s
            self._last = entries, len(entries) - left - 1, last_s
        used_s = self._note_series(self._newly_used_s())
        self._note(1, now_s - last_s, used_s, _SUCCEEDED)
        self._note_wait(entries[len(entries) - left - 1], last_s, 1)

    def flush(self) -> None:
        """Note the series. Call it before the worker waits or ends."""
        if self._count:
            self._note_series(self._newly_used_s())

    def woke(self) -> None:
        """The worker has waited: what it has used meanwhile is no message's."""
        self._newly_used_s()

    def _note_series(self, used_s: float) -> float:
        """Note the series, given the processor time since the last note; returns what is left of that."""
        count, run_s = self._count, self._run_s
        if not count:
            return used_s
        self._note(count, run_s, min(run_s, used_s), _SUCCEEDED)
        self._note_wait(self._first, self._first_s, count - count // 2)
        if count > 1:
            entries, done, last_s = self._last
            self._note_wait(entries[done - 1], self._first_s if math.isnan(last_s) else last_s, count // 2)
        self._count, self._run_s = 0, 0.0
        self._first, self._last = None, ((), 0, 0.0)
        return max(0.0, used_s - run_s)

    def _note(self, count: int, run_s: float, used_s: float, outcome: int) -> None:
        """Add messages that have run together for a time, and have used this processor time."""
        peak = self._maxrss if self._owns_process and self._maxrss > self._peak else 0
        self._note_in(self._task, count, run_s, used_s, outcome, peak)
        if self._key_row:
            self._note_in(self._key_row, count, run_s, used_s, outcome, peak)
        if peak:
            self._peak = peak

    def _note_in(self, name: str, count: int, run_s: float, used_s: float, outcome: int, peak: int) -> None:
        cells, at = self._table.cells, self._table.row(self._queue, name)
        cells[at + outcome] += count
        cells[at + RUN] += run_s
        cells[at + RUN + 1 + bisect_left(BOUNDS_S, run_s / count)] += count
        cells[at + CPU] += used_s
        cells[at + CPU + 1 + bisect_left(BOUNDS_S, used_s / count)] += count
        if peak:
            cells[at + MEMORY] = max(cells[at + MEMORY], float(peak * _PEAK_UNIT))

    def _note_wait(self, entry: Any, started_s: float, count: int) -> None:
        """Add messages that have waited as long as this one, unless it has been delivered before."""
        message_id, _, counts = entry
        offset_s = self._table.clock_offset_s
        if not offset_s or (counts is not None and not counts.startswith(_UNTRIED)):
            return
        try:
            wait_s = started_s + offset_s - int(message_id[:_TIME_DIGITS], 16) / 1e6
        except ValueError:
            return  # a forged id
        wait_s = max(0.0, wait_s)
        self._note_wait_in(self._task, wait_s, count)
        if self._key_row:
            self._note_wait_in(self._key_row, wait_s, count)

    def _note_wait_in(self, name: str, wait_s: float, count: int) -> None:
        cells, at = self._table.cells, self._table.row(self._queue, name) + WAIT
        cells[at] += wait_s * count
        cells[at + 1 + bisect_left(BOUNDS_S, wait_s)] += count

    def _newly_used_s(self) -> float:
        """The processor time of the process, or of the thread, since the last call. Notes its memory peak, too."""
        usage, before_s = resource.getrusage(self._who), self._cpu_s
        self._maxrss, self._cpu_s = usage.ru_maxrss, usage.ru_utime + usage.ru_stime
        return self._cpu_s - before_s
