"""What an in-process consumer does, for the report that is stored with each heartbeat."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable

from bizzmq.consumer.lease import LeaseOptions
from bizzmq.consumer.local_records import LocalRecords
from bizzmq.metrics.table import MetricsTable, size_of
from bizzmq.protocol.pool_report import CONSUMER, DRAINING, WORKING, PoolReport, RunningMessage, own_versions
from bizzmq.utils import clock

_SHOWN = 200


class OwnActivity(LocalRecords):
    """Notes which message runs, and measures. Written by the consumer's thread, read by that of its lease."""

    owns_process = False

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self.metrics = self.table = MetricsTable(bytearray(size_of()))
        self._now: tuple[bytes, float, int] | None = None

    def begin(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int  # noqa: ARG002 - the pool's recorder needs them
    ) -> None:  # fmt: skip
        self._now = (message_id, started_s, delivery)

    def begin_task(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int,  # noqa: ARG002 - as above
        task: str,  # noqa: ARG002 - as above
    ) -> None:  # fmt: skip
        self._now = (message_id, started_s, delivery)

    def idle(self) -> None:
        self._now = None

    def runs(self, message_id: str, delivery: int) -> bool:
        now = self._now
        return now is not None and (now[0].decode("ascii"), now[2]) == (message_id, delivery)

    def running(self, worker: str) -> tuple[RunningMessage, ...]:
        """The message that runs, if one does."""
        now = self._now
        if now is None:
            return ()
        message_id, started_s, delivery = now
        for_s = max(0.0, clock.monotonic() - started_s)
        return (RunningMessage(worker, message_id.decode("ascii"), for_s, delivery & 0xFFFF),)


def report_of(activity: OwnActivity, lease: LeaseOptions, worker: str, *, is_stopping: bool) -> PoolReport:
    """The report of an in-process consumer, which names its program. `worker` is "" while it has none."""
    running = activity.running(worker)
    return PoolReport(
        CONSUMER, DRAINING if is_stopping else WORKING, **own_versions(), target=program(),
        workers=int(worker != ""), busy=len(running), longest_s=max((one.for_s for one in running), default=0.0),
        beat_s=lease.beat_s, lease_s=lease.lease_s, running=running,
    )  # fmt: skip


def program() -> str:
    """The name of the program that this process runs."""
    arguments = getattr(sys, "argv", None)
    return Path(arguments[0]).name[:_SHOWN] if arguments else ""
