"""Reports what a pool has measured to the histories of its queues, once in ten seconds.

The tables of the workers only grow. What they say is copied into a table of the pool before it is sent, and that table
has a number. So a process that takes over, or sends again, sends the same report with the same number, which Redis adds
once. All tables are in memory that outlives the process.
"""

from __future__ import annotations

import logging
import random
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.broker.broker import Broker
from bizzmq.broker.metrics import NO_USAGE, QueueGauges
from bizzmq.connection.retry import QUOTE_LIMIT
from bizzmq.errors import (
    QUEUE_TROUBLE,
    BizzMQError,
    BrokerFullError,
    BrokerRefusesError,
    BrokerUnavailableError,
    QueueNotFoundError,
)
from bizzmq.metrics.columns import CPU, MEMORY, RUN, SUMS, is_key
from bizzmq.metrics.history import measured_bytes
from bizzmq.metrics.rolling import roll_up_queue
from bizzmq.metrics.steps import Cells, Step, add_cells
from bizzmq.metrics.table import Key, MetricsTable, size_of
from bizzmq.utils import clock
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.metrics")
INTERVAL_S = 10.0
_ROLL_UP_S = 60.0
POOL_ROWS = 1024
LEDGER_BYTES = 2 * size_of(POOL_ROWS)
Usage = Tuple[bytes, bytes]
_NOT_COUNTED = range(CPU + 1, MEMORY)


class Ledger(NamedTuple):
    """What a pool has reported.

    Attributes:
        sending: what the report says that is being sent.
        reported: what all reports before it have said together.
    """

    sending: MetricsTable
    reported: MetricsTable

    @classmethod
    def in_buffer(cls, buffer: bytearray | memoryview) -> Ledger:
        """A ledger in LEDGER_BYTES bytes."""
        half = size_of(POOL_ROWS)
        view = memoryview(buffer)
        return cls(MetricsTable(view[:half], POOL_ROWS), MetricsTable(view[half:], POOL_ROWS))

    @classmethod
    def of_one_process(cls) -> Ledger:
        """A ledger for one table, which ends with this process."""
        return cls(MetricsTable(bytearray(size_of())), MetricsTable(bytearray(size_of())))


class Reporter:
    """Sends the reports of one pool, and makes the histories of its queues shorter.

    `tick` returns when it must be called again.

    Args:
        queues: the names of the queues, by the index that rows have.
        tables: those of the workers.
        start: what the pool runs, for its first report.
        shards_of: the names of a queue's shards.
        on_gauges: receives what Redis says of the queues, with each report.
        usage: takes a sample of what the pool uses (`workers/janitor/usage_sampler.py`). Its fields are stored with the
            report on the first queue.
    """

    def __init__(
        self,
        broker: Broker,
        supervisor: str,
        queues: Sequence[str],
        tables: Sequence[MetricsTable],
        ledger: Ledger,
        *,
        start: bytes,
        shards_of: Callable[[str], Sequence[str]],
        before_request: Callable[[], None] = lambda: None,
        on_gauges: Callable[[Mapping[str, QueueGauges]], None] = lambda _gauges: None,
        usage: Callable[[Optional[float], float], Usage] = lambda _at_s, _run_s: NO_USAGE,
        now_s: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._broker, self._supervisor, self._queues = broker, supervisor, tuple(queues)
        self._tables, self._ledger, self._start, self._shards_of = tables, ledger, start, shards_of
        self._before_request, self._on_gauges, self._now_s = before_request, on_gauges, now_s
        self._next_s = 0.0
        self._next_roll_up_s = now_s() + _ROLL_UP_S * random.random()
        self._refused: set[str] = set()
        self._usage = usage
        self._offset_s: Optional[float] = None

    def tick(self) -> float:
        """Report if it is time; returns the seconds until the next time. Raises BrokerUnavailableError."""
        now_s = self._now_s()
        if now_s >= self._next_s:
            self.report()
            self._next_s = now_s + INTERVAL_S
        if now_s >= self._next_roll_up_s:
            self._next_roll_up_s = now_s + _ROLL_UP_S * random.uniform(0.8, 1.2)
            self._on_each(lambda queue: roll_up_queue(self._broker, queue))
        return max(0.0, min(self._next_s, self._next_roll_up_s) - self._now_s())

    def finish(self) -> None:
        """Report what is left before the pool ends, if Redis is there."""
        try:
            if self._ledger.sending.is_sending:
                self.report()  # of an earlier time
            self.report()
        except BizzMQError as error:
            log(_logger, logging.WARNING, "the last metrics are not stored", error=str(error)[:QUOTE_LIMIT])

    def report(self) -> None:
        """Send what is new, and a sample of each queue. Raises BrokerUnavailableError."""
        sending, reported = self._ledger
        usage = NO_USAGE
        if not sending.is_sending:
            self._prepare()
            usage = self._sample_usage()
        steps, gauges = self._growth(), {}
        start = self._start if sending.number == 1 else b""
        first = self._shards_of(self._queues[0])[0]

        def send(shard: str) -> None:
            measured = measured_bytes(steps[shard]) if shard in steps else b""
            found = self._send(shard, sending.number, measured, start, usage if shard == first else NO_USAGE)
            if found is not None:
                gauges[shard] = found

        self._on_each(send)
        _copy(sending, reported)
        sending.is_sending = False
        self._on_gauges(gauges)

    def _prepare(self) -> None:
        """Copy what the workers have measured."""
        sending, reported = self._ledger
        sending.zero()
        for table in self._tables:
            for row in table.rows():
                sending.add(row)
        sending.number = reported.number + 1
        sending.is_sending = True

    def _sample_usage(self) -> Usage:
        at_s = None if self._offset_s is None else self._now_s() + self._offset_s
        rows = self._ledger.sending.rows()
        return self._usage(at_s, sum(row.cells[RUN] for row in rows if not is_key(row.task)))

    def _growth(self) -> Dict[str, Step]:
        """What is new, by queue."""
        before: Dict[Key, Sequence[float]] = {(row.queue, row.task): row.cells for row in self._ledger.reported.rows()}
        found: Dict[str, Step] = {}
        for row in self._ledger.sending.rows():
            grown = _growth(row.cells, before.get((row.queue, row.task)))
            if grown and row.queue < len(self._queues):
                step = found.setdefault(self._queues[row.queue], Step())
                step.rows[row.task] = grown
                if not is_key(row.task):
                    add_cells(step.total, grown)
        return found

    def _send(self, shard: str, number: int, measured: bytes, start: bytes, usage: Usage) -> QueueGauges | None:
        began_s = self._now_s()
        gauges = self._broker.add_metrics(shard, self._supervisor, number, measured, start, usage)
        if gauges is not None:
            self._offset_s = offset_s = gauges.at_ms / 1000 - (began_s + self._now_s()) / 2
            for table in self._tables:
                table.clock_offset_s = offset_s
        return gauges

    def _on_each(self, action: Callable[[str], object]) -> None:
        """Do this for each queue. The trouble of one is logged once, and costs the others nothing."""
        failure: BrokerUnavailableError | None = None
        for queue in self._queues:
            for shard in self._shards_of(queue):
                if shard in self._refused:
                    continue
                try:
                    self._before_request()
                    action(shard)
                except QueueNotFoundError:
                    continue
                except BrokerRefusesError as error:
                    self._refused.add(shard)
                    log(_logger, logging.WARNING, "metrics of this queue are not stored", queue=shard,
                        error=str(error)[:QUOTE_LIMIT])  # fmt: skip
                except (*QUEUE_TROUBLE, BrokerFullError) as error:
                    log(_logger, logging.DEBUG, "metrics of this queue are lost", queue=shard,
                        error=str(error)[:QUOTE_LIMIT])  # fmt: skip
                except BrokerUnavailableError as error:
                    if not self._broker.connection.spans_nodes:
                        raise
                    failure = error
        if failure is not None:
            raise failure


def _growth(now: Sequence[float], before: Sequence[float] | None) -> Cells:
    """By how much a row has grown. A memory peak is as it is now."""
    found: Cells = {}
    for column, value in enumerate(now):
        was = before[column] if before is not None else 0.0
        if value <= was or column in _NOT_COUNTED:
            continue
        if column == MEMORY:
            grown = round(value / 1024)
        else:
            grown = round((value - was) * 1e6) if column in SUMS else round(value - was)
        if grown:
            found[column] = grown
    return found


def _copy(source: MetricsTable, target: MetricsTable) -> None:
    for row in source.rows():
        target.put(row)
    target.number = source.number
